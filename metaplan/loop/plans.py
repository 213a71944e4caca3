# pyright: basic
"""The plans of a loop, compiled and bound to its state, in the order in which a step runs them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.loop.changes import Changes
from metaplan.loop.free_pages import FreePages
from metaplan.loop.state import State
from metaplan.phases import Phase
from metaplan.plans.decode_loop import (
    Settings,
    decode_advance,
    decode_change,
    decode_commit,
    decode_prepare,
)
from metaplan.plans.decode_pages import decode_enter, decode_grow, decode_shrink
from metaplan.runtime.step import Step

TOKENS = ("last_tokens",)
COUNTS = ("lengths", "limits")


@dataclass(frozen=True, slots=True)
class Ways:
    """How a model and its plans share the work.

    Attributes:
        counted: the model says how many of its tokens hold.
        drafted: it gives drafts for the next step.
        overlap: what depends on counts alone is written for the next step beside the end of this one.
        dependent: the plans' kernels are launched early and wait inside, where the device can.
    """

    counted: bool = False
    drafted: bool = False
    overlap: bool = False
    dependent: bool = False


class Plans:
    """``change`` where the host changed something; ``front``, the model, ``back``; ``beside`` the model's end.

    Attributes:
        outputs: what the model reads, by name.
        grow: gives rows their pages in a step, where the device does.
        entered: takes back and gives, where rows have a new owner.
        fresh: what runs behind a change: rows that enter need pages before their prompts are written, and what ran for
            the next step already must run once more.
    """

    grow: tuple[Step, ...] = ()
    entered: tuple[Step, ...] = ()
    front: tuple[Step, ...]
    beside: tuple[Step, ...]
    back: tuple[Step, ...]
    fresh: tuple[Step, ...]

    def __init__(
        self,
        settings: Settings,
        state: State,
        results: torch.Tensor,
        ways: Ways,
        lag: int,
        free: FreePages | None = None,
    ) -> None:
        self.settings, self.state, self.ways, self.free = settings, state, ways, free
        self._where = {"device": str(state.lengths.device), "lag": lag}
        rows = results.shape[1]
        self._sizes = {"row": rows, "page": settings.width}
        self._row = self._filled(rows, 1)
        self.samples = self._filled(0, rows, settings.queries, dtype=torch.int64)
        self.counts = self._filled(1, rows)
        self.next_drafts = self._filled(0, rows, settings.drafts, dtype=torch.int64)
        self.turn = self._filled(0, rows)
        self._front()
        self._back(results)
        # Page numbers travel only where the host has them.
        self.cells = max(settings.width, 4 * rows) if free is None else 0
        self._change()

    def _front(self) -> None:
        """In one launch in front of the model; or beside the end of the step before, all that needs no token.

        What needs one is then the last token of each row, which the commit has put where the model reads it.
        """
        state, paged = self._state(), self.free is not None
        if self.free is not None:
            self._paging(self.free, state)
            state |= self.free.back()
        if not self.ways.overlap:
            whole = (
                decode_prepare(self.settings, shrink=True)
                if paged
                else decode_prepare(self.settings)
            )
            prepare = self._compiled(whole, **state)
            self.front, self.beside, self.fresh = (*self.grow, prepare), (), self.entered
            self.outputs = dict(prepare.outputs)
            # A warm-up passes by a plan that changes a state; to the model every row is padding then.
            self.outputs["slot_mapping"].fill_(-1)
            return
        whole = decode_prepare(self.settings)
        phase = whole.phases(token=TOKENS, count=COUNTS)
        early = [name for name, needs in phase.items() if needs is not Phase.TOKEN]
        assert set(phase) - set(early) == {"input_ids"}
        rest = self._compiled(whole.only(*early), **state)
        shrink = (self._compiled(decode_shrink(self.settings), **state),) if paged else ()
        advance = self._compiled(decode_advance(self.settings), **state)
        ready = (*self.grow, rest, *shrink)
        self.front, self.beside, self.fresh = (), (advance, *ready), (*self.entered, *ready)
        self.outputs = {"input_ids": self.state.last_tokens.unsqueeze(1), **rest.outputs}

    def _paging(self, free: FreePages, state: dict[str, torch.Tensor]) -> None:
        """The plans that give pages: in a step, and behind a change where what is over has to come back first."""
        forth, back = state | free.forth(), state | free.back()
        self.grow = (self._compiled(decode_grow(self.settings), **forth),)
        self.entered = (
            self._compiled(decode_shrink(self.settings), **forth),
            self._compiled(decode_grow(self.settings, entering=True), **back),
        )

    def _back(self, results: torch.Tensor) -> None:
        ways, drafts = self.ways, self.settings.drafts
        commit = decode_commit(
            self.settings,
            slots=results.shape[0],
            counted=ways.counted,
            drafted=ways.drafted,
            advanced=ways.overlap,
        )
        given = self._state() | {
            "tokens": self.samples,
            "counts": self.counts,
            "next_drafts": self.next_drafts,
            "turn": self.turn,
            "results": results,
        }
        if drafts:
            given["input_ids"] = self.outputs["input_ids"]
        if ways.overlap:
            given["ran"] = self.beside[0].outputs["ran"]
        self.back = (self._compiled(commit, **given),)

    def _change(self) -> None:
        rows = self._sizes["row"]
        sizes = {"row": rows, "entry": rows}
        plan = decode_enter(self.settings)
        if self.free is None:
            plan = decode_change(self.settings)
            sizes |= self._sizes | {"patch": rows, "cell": self.cells}
        self.change = plan.compile(**sizes, **self._where)
        names = [name for name in self.change.arguments if name in self._state()]
        nothing = np.zeros(0, np.int32)
        hosted = {n: nothing for n, slot in self.change.arguments.items() if slot.staged}
        live = {name: 0 for name in ("entry", "patch") if name in sizes}
        self.change.bind(**self.state.of(*names), **hosted, **live)

    def _compiled(self, plan: Plan, **given: Any) -> Step:
        """A plan bound to what it takes of ``given``."""
        names = {i.name for i in plan.ir.inputs}
        dims = {str(dim) for i in plan.ir.inputs for dim in i.dims}
        sizes = {name: size for name, size in self._sizes.items() if name in dims}
        made = {output.name for output in plan.ir.outputs}
        into = {name: tensor for name, tensor in self.state.inputs.items() if name in made}
        step = plan.compile(**sizes, **self._where, dependent=self.ways.dependent, into=into)
        step.bind(row=self._row, **{name: t for name, t in given.items() if name in names})
        return step

    def _state(self) -> dict[str, torch.Tensor]:
        names = ("lengths", "limits", "reserved", "last_tokens", "block_table")
        return self.state.of(*names, *(("draft_tokens",) if self.settings.drafts else ()))

    def _filled(self, value: int, *shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.full(shape, value, dtype=dtype, device=self.state.lengths.device)

    def apply(self, changes: Changes) -> None:
        """Sends what the host changed: one transfer and one launch on the current stream."""
        for transfer in changes.transfers():
            self.change.send(**transfer)

    def flags(self) -> dict[str, int]:
        """Promises that the data broke, by line of a plan. Waits for the GPU."""
        counts = Counter[str]()
        for step in {*self.front, *self.beside, *self.fresh, *self.back, self.change}:
            counts.update(step.flags())
        return dict(counts)
