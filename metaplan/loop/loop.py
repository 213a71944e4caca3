# pyright: basic
"""A decode loop whose host never waits for the step that it has just launched."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch

from metaplan import catalogue
from metaplan.loop.batch import Batch
from metaplan.loop.beside import Beside
from metaplan.loop.bounds import Bounds
from metaplan.loop.changes import Changes
from metaplan.loop.device_paging import DevicePaging
from metaplan.loop.free_pages import FreePages
from metaplan.loop.host import Host, Launched
from metaplan.loop.host_paging import HostPaging
from metaplan.loop.paging import Paging
from metaplan.loop.plans import Plans, Ways
from metaplan.loop.recording import Forward, Recording, buckets_for
from metaplan.loop.request import Request
from metaplan.loop.results import Produced, Results
from metaplan.loop.sender import Sender
from metaplan.loop.state import State
from metaplan.plans.decode_loop import Settings


class Loop:
    """Requests that decode together, their state on the device, their results read ``lag`` steps late.

    A step is one graph: the plan that prepares it, the model, the plan that commits what was sampled. The host
    launches it, reads what the step ``lag`` before produced, and sends what changed, if anything did. It never needs
    a count that the device has not told yet: it reserves pages for an upper bound (see ``loop.bounds``), or leaves the
    pages to the device, which knows.

    Args:
        rows: the most requests at a time.
        pages: pages of the KV cache; page 0 is given to nobody.
        page: tokens a page.
        longest: the most tokens of a sequence, prompt and output.
        drafts: K, the draft tokens that a step verifies beside the last sampled token.
        lag: how many steps late the host reads results; 0 waits for each step.
        stop: token ids that end a request on the device, without an overshooting step.
        buckets: the numbers of rows for which a graph is recorded; powers of two if not given.
        vocabulary: token ids lie below.
        overcommit: admits requests whose longest outputs would not fit together; ``step`` raises when they do not.
        fenced: pages come back only after the steps in flight, for prompts that are written on another stream.
        paging: "host": it has the free pages, and sends rows those that are new. "device": each step gives rows what
            they need and takes back what is over; the host counts, and sends none.
        device: "cuda", or "cpu": the plans in NumPy, no graph, the same results.
    """

    def __init__(
        self,
        *,
        rows: int,
        pages: int,
        page: int = 16,
        longest: int = 4096,
        drafts: int = 0,
        lag: int = 1,
        stop: Sequence[int] = (),
        buckets: Sequence[int] | None = None,
        vocabulary: int = 1 << 20,
        overcommit: bool = False,
        fenced: bool = False,
        paging: str = "host",
        device: str | torch.device = "cuda",
    ) -> None:
        _positive(rows=rows, pages=pages, page=page, longest=longest, vocabulary=vocabulary)
        if drafts < 0 or lag < 0:
            raise catalogue.loop_number("drafts" if drafts < 0 else "lag", min(drafts, lag), 0)
        self.settings = Settings(drafts, page, longest, pages, vocabulary, tuple(stop))
        if paging not in ("host", "device") or (fenced and paging == "device"):
            raise catalogue.loop_paging(paging)
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise catalogue.no_device(str(device))
        self.rows, self.lag = rows, lag
        self.buckets = _buckets(rows, buckets)
        self.bounds = Bounds(drafts, lag)
        self.state = State.empty(self.settings, rows, self.device)
        self.results = Results(lag + 1, rows, self.settings.queries, self.device)
        self.host = Host(self.bounds, rows, page)
        self.free_pages = (
            FreePages.all_of(self.settings, self.state) if paging == "device" else None
        )
        self.pool: Paging = (
            HostPaging(self.host, pages, overcommit=overcommit, fenced=fenced)
            if paging == "host"
            else DevicePaging(
                self.host,
                pages,
                overcommit=overcommit,
                table=self.state.block_table,
                flush=self.flush,
            )
        )
        self.launched = 0
        self._flights: deque[Launched] = deque()
        self._changes: Changes | None = None
        self._plans: Plans | None = None
        self._recording: Recording | None = None
        self._sender: Sender | None = None

    # ---------------------------------------------------------------- model

    def capture(
        self,
        forward: Forward,
        *,
        counted: bool = False,
        drafted: bool = False,
        overlap: bool = False,
        dependent: bool = False,
    ) -> None:
        """Records ``forward`` between the loop's plans: on a GPU one CUDA graph a bucket.

        ``forward(batch)`` returns the sampled tokens, or ``Sampled``. It is run once before each capture, with rows
        that are all padding.

        Args:
            forward: the model and its sampling.
            counted: it gives counts of its own.
            drafted: it gives drafts for the next step.
            overlap: it calls ``batch.release()`` behind its last attention; what the next step needs of counts alone
                is then written beside its end. Only where no sample decides a count: without drafts.
            dependent: the plans' kernels are launched before those in front of them are done, where the device can.
        """
        if overlap and (self.settings.drafts or counted):
            raise catalogue.loop_overlap(self.settings.drafts)
        self.bounds = self.host.bounds = Bounds(self.settings.drafts, self.lag, int(overlap))
        ways = Ways(counted, drafted, overlap, dependent)
        plans = Plans(
            self.settings, self.state, self.results.tensor, ways, self.lag + 1, self.free_pages
        )
        self._plans, self._changes = plans, Changes(plans.cells)
        self._sender = Sender(plans, self.device)
        beside = Beside(plans, self.device)
        batches = [self._batch(plans, beside, rows) for rows in self.buckets]
        self._recording = Recording(plans, batches, forward, beside)

    def _batch(self, plans: Plans, beside: Beside, rows: int) -> Batch:
        out, queries = plans.outputs, self.settings.queries
        return Batch(
            rows,
            queries,
            out["input_ids"][:rows].view(-1),
            out["positions"][:rows].view(-1),
            out["slot_mapping"][:rows].view(-1),
            out["seq_lens"][:rows],
            torch.arange(rows + 1, dtype=torch.int32, device=self.device) * queries,
            self.state.block_table[:rows],
            plans.samples[:rows].view(-1),
            beside.release,
        )

    # ------------------------------------------------------------- requests

    def fits(self, length: int, most: int) -> bool:
        """Whether a request of ``length`` tokens that generates ``most`` can be admitted now."""
        return self.host.room > 0 and self.pool.fits(*self._needs(length, length + most))

    def admit(
        self, *, length: int, token: int | torch.Tensor, most: int, key: object = None
    ) -> Request:
        """A request enters: ``length`` tokens are in its cache before its first step.

        Args:
            length: tokens of its prompt; who writes their keys and values does so on this stream before the step.
            token: the token behind them; a tensor of one element stays on the device.
            most: tokens that the loop generates at most.
            key: handed back with its results.

        Raises:
            CallError: it can never fit, or does not now (ask ``fits``).
        """
        limit = length + most
        if length < 0 or most < 1 or limit > self.settings.longest:
            raise catalogue.loop_too_long(length, most, self.settings.longest)
        if not self.fits(length, most):
            needs = self._needs(length, limit)
            raise catalogue.loop_full(self.host.room, self.pool.spare, needs)
        changes = self._open()
        row = self.host.row()
        request = self.pool.request(key, row, length, limit)
        self.host.enter(request, length)
        on_device = isinstance(token, torch.Tensor)
        changes.enter(row, length, limit, 0 if on_device else int(token))
        self.pool.enter(request, self._needs(length, limit)[0], changes)
        if on_device:
            self.flush()
            self.state.last_tokens[row : row + 1].copy_(token.view(1), non_blocking=True)
        return request

    def finish(self, request: Request) -> None:
        """Ends a request early; what its steps in flight produce is dropped."""
        request.live = False
        if request.seated:
            self._open().leave(request.row)
            self._release(request)

    def flush(self) -> None:
        """Sends what changed now; a step does it by itself."""
        changes = self._open()
        # Where the next step would be refused for its pages, what gives it those has to wait for more to leave.
        if changes and self.pool.free >= 0:
            assert self._sender is not None
            self._sender.send(changes)

    # ---------------------------------------------------------------- steps

    @property
    def busy(self) -> bool:
        """Whether a request is live or a step in flight."""
        return bool(self._flights) or self.host.top > 0

    def step(self) -> Produced | tuple[()]:
        """Launches a step of all live requests; gives what the step ``lag`` before produced.

        Raises:
            CallError: with ``overcommit``, the pages are not there; nothing was launched.
        """
        self.pool.reserve(self._open())
        self.flush()
        if top := self.host.top:
            assert self._recording is not None
            self._recording.run(top)
            self.results.launched(self.launched, top)
            self.launched += 1
            self._flights.append(self.host.launch())
            for request in self.host.over():
                self._release(request)
            if len(self._flights) <= self.lag:
                return ()
        return self._read() if self._flights else ()

    def drain(self) -> list[Produced]:
        """What the steps in flight produced, oldest first; waits for them."""
        return [self._read() for _ in range(len(self._flights))]

    def flags(self) -> dict[str, int]:
        """How often a row outgrew its pages or found too few, by line of the plan; 0 of them by the bounds. Waits."""
        self._open()
        assert self._plans is not None
        return self._plans.flags()

    def _read(self) -> Produced:
        flight, step = self._flights.popleft(), self.launched - len(self._flights) - 1
        counts, ended, tokens = self.results.read(step, flight.top)
        where, requests = self.host.read(flight, counts)
        self.pool.passed(step + 1)
        over = ended[where]
        if over.any():
            for at in np.flatnonzero(over).tolist():
                requests[at].live = False
                if requests[at].seated:
                    self._release(requests[at])
        return Produced(step, requests, counts[where], tokens[where], over)

    # ---------------------------------------------------------------- pages

    def _needs(self, length: int, limit: int) -> tuple[int, int]:
        """Pages that a request needs for its first step, and at its end."""
        page = self.settings.page
        first = min(length + self.bounds.reach, limit)
        return -(-first // page), -(-limit // page)

    def _release(self, request: Request) -> None:
        """Its row and its pages may be another's behind the steps that have been launched."""
        self.pool.leave(request, self.launched, self._open())
        self.host.leave(request)

    def _open(self) -> Changes:
        if self._changes is None:
            raise catalogue.loop_without_model()
        return self._changes


def _positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise catalogue.loop_number(name, number, 1)


def _buckets(rows: int, given: Sequence[int] | None) -> tuple[int, ...]:
    if given is None:
        return buckets_for(rows)
    made = tuple(sorted({*given, rows}))
    if made[0] < 1 or made[-1] > rows:
        raise catalogue.loop_buckets(tuple(given), rows)
    return made
