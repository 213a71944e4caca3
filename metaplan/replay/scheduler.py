"""A small continuous-batching scheduler: arrivals, paged admission, chunked prompts, drafts, ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from metaplan.replay.running import GroupTables, Rows, Running
from metaplan.replay.settings import Settings
from metaplan.replay.step import Admission, PageWrites, Step
from metaplan.replay.trace import Trace, TraceError

I32 = np.int32


class Scheduler:
    """Runs a trace step by step; the same trace and settings give the same steps.

    The host plans one step ahead of what it knows: it assumes that every draft is accepted, keeps
    pages for that, and serves a request once more before it learns that the answer was complete.
    """

    def __init__(self, trace: Trace, settings: Settings) -> None:
        _check_fits(trace, settings)
        self.trace, self.settings = trace, settings
        self._rng = np.random.default_rng(settings.seed)
        self._groups = [GroupTables(settings, group, self._rng) for group in settings.all_groups]
        self._running = Running(settings)
        self._free_states = list(range(settings.max_requests))[::-1]
        self._arrived = 0
        self._index = 0
        self._seconds = 0.0

    def steps(self) -> Iterator[Step]:
        """Every step until the last request is over; idle time between requests is skipped."""
        while True:
            departed, freed = self._depart()
            if not len(self._running.order) and self._arrived < len(self.trace):
                arrival = float(self.trace.arrival[self._arrived])
                self._seconds = max(self._seconds, arrival)
            admitted = self._admit()
            if not len(self._running.order):
                return
            step = self._step(departed, freed, admitted, *self._compose())
            yield step
            self._learn(step)

    def free_pages(self) -> tuple[int, ...]:
        """Pages of each group that nobody holds; at the end of the trace all of them."""
        return tuple(tables.pages.free for tables in self._groups)

    def _depart(self) -> tuple[Rows, tuple[NDArray[np.int32], ...]]:
        running = self._running
        departed = running.over()
        freed: list[NDArray[np.int32]] = []
        for tables in self._groups:
            gone = tables.release(departed)
            stay = running.order
            behind = tables.leave_behind(stay, running.known_computed[stay].astype(np.int64))
            freed.append(np.concatenate([gone, behind]))
        running.remove(departed)
        self._free_states += departed.tolist()
        return departed, tuple(freed)

    def _admit(self) -> tuple[Admission, ...]:
        admitted: list[Admission] = []
        trace = self.trace
        while (
            self._free_states
            and self._arrived < len(trace)
            and trace.arrival[self._arrived] <= self._seconds
        ):
            request = self._arrived
            context, goal = int(trace.context[request]), int(trace.generated[request])
            tokens = context + goal + self.settings.room
            if not all(tables.can_promise(tokens) for tables in self._groups):
                break
            state = self._free_states.pop()
            for tables in self._groups:
                tables.promise(state, tokens)
            self._running.add(state, request, context, goal)
            prompt = self._rng.integers(0, self.settings.vocabulary, context, I32)
            admitted.append(Admission(request, state, prompt))
            self._arrived += 1
        return tuple(admitted)

    def _compose(self) -> tuple[Rows, NDArray[np.int32], int]:
        """Rows of the batch: every request that decodes, then prompts as far as the budget goes."""
        running, settings = self._running, self.settings
        order = running.order
        left = running.context[order] - running.upper[order]
        decodes, prompts = order[left <= 0], order[left > 0]
        query = np.full(len(decodes), settings.query_len, I32)
        if self._rng.random() < settings.ragged:
            query = self._rng.integers(1, settings.query_len + 1, len(decodes), I32)
        left = left[left > 0]
        budget = settings.max_tokens - int(query.sum())
        chunk = np.clip(budget - (np.cumsum(left) - left), 0, left).astype(I32)
        served = chunk > 0
        state = np.concatenate([decodes, prompts[served]])
        return state, np.concatenate([query, chunk[served]]), len(decodes)

    def _step(
        self,
        departed: Rows,
        freed: tuple[NDArray[np.int32], ...],
        admitted: tuple[Admission, ...],
        state: Rows,
        query: NDArray[np.int32],
        num_decodes: int,
    ) -> Step:
        running, settings, rng = self._running, self.settings, self._rng
        rows, k = len(state), settings.drafts
        upper = running.upper[state]
        reserved = upper.astype(np.int64) + query
        num_draft = query - 1
        num_draft[num_decodes:] = 0
        accepted = np.cumprod(rng.random((rows, k)) < settings.acceptance, axis=1).sum(axis=1)
        accepted = np.minimum(accepted, num_draft).astype(I32)
        reaches_end = running.computed[state] + query >= running.context[state]
        sampled = np.where(reaches_end, accepted + 1, 0).astype(I32)
        missing = np.maximum(running.goal[state] - running.generated[state], 0)
        step = Step(
            index=self._index,
            seconds=self._seconds,
            departed=departed,
            admitted=admitted,
            page_writes=tuple(PageWrites(*t.grow(state, reserved)) for t in self._groups),
            freed=freed,
            num_decodes=num_decodes,
            request=running.request[state],
            state=state,
            query_len=query,
            num_draft=num_draft,
            computed=running.computed[state],
            computed_upper=upper,
            num_sampled=sampled,
            num_rejected=num_draft - accepted,
            sampled_tokens=rng.integers(0, settings.vocabulary, (rows, k + 1)),
            new_draft_tokens=rng.integers(0, settings.vocabulary, (rows, k)),
            delivered=np.minimum(sampled, missing),
        )
        self._index += 1
        self._seconds += settings.step_seconds
        return step

    def _learn(self, step: Step) -> None:
        """The GPU moves on by what it accepted; the host learns what was true before the step."""
        running, state = self._running, step.state
        running.known_computed[state] = step.computed
        running.known_generated[state] = running.generated[state]
        running.upper[state] = step.computed + step.query_len
        running.computed[state] += step.query_len - step.num_rejected
        running.generated[state] += step.num_sampled


def _check_fits(trace: Trace, settings: Settings) -> None:
    need = trace.context.astype(np.int64) + trace.generated + settings.room
    if len(trace) and int(need.max()) > settings.max_model_len:
        worst = int(need.argmax())
        raise TraceError(
            f"{trace.name}, request {worst}",
            f"{trace.context[worst]} + {trace.generated[worst]} tokens and room for drafts need"
            f" {need[worst]}, max_model_len is {settings.max_model_len}",
            f"raise max_model_len to at least {need[worst]}",
        )
