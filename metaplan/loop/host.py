"""What the host knows of a loop's rows: lengths that it has read, and steps that it has not."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metaplan.loop.bounds import Bounds
from metaplan.loop.request import Request

Ints = NDArray[np.int64]
FOR_EVER = 1 << 30


@dataclass(frozen=True, slots=True)
class Launched:
    """A step in flight: the rows that were live, and who had them.

    Attributes:
        rows: int64[n], in order.
        where: the same, as NumPy takes them fastest.
        requests: n of them.
    """

    rows: Ints
    where: slice | Ints
    requests: list[Request]

    @staticmethod
    def of(live: NDArray[np.bool_], requests: NDArray[np.object_]) -> Launched:
        """Those rows of all."""
        rows = np.flatnonzero(live)
        packed = rows.size == 0 or int(rows[-1]) == rows.size - 1
        where = slice(0, rows.size) if packed else rows
        return Launched(rows, where, requests[rows].tolist())

    @property
    def top(self) -> int:
        """Rows up to the last one in use."""
        return int(self.rows[-1]) + 1 if self.rows.size else 0


@dataclass(slots=True)
class Host:
    """The rows of a loop.

    Attributes:
        known: int64[rows], the length that was read last.
        entered: int64[rows], steps that were launched before the row's request entered.
        limits: int64[rows].
        owned: int64[rows], pages.
        live: bool[rows].
        requests: the request of each row.
    """

    bounds: Bounds
    rows: int
    page: int
    known: Ints = field(init=False)
    entered: Ints = field(init=False)
    limits: Ints = field(init=False)
    owned: Ints = field(init=False)
    live: NDArray[np.bool_] = field(init=False)
    requests: NDArray[np.object_] = field(init=False)
    _free: list[int] = field(init=False)
    _now: Launched | None = field(init=False, default=None)
    """What a step is launched for, until a row changes hands."""
    _launched: int = field(init=False, default=0)
    _read: int = field(init=False, default=0)
    """Steps: every live row is in each of them."""
    _running: int = field(init=False, default=0)
    """Launches behind which no row can be at its limit."""

    def __post_init__(self) -> None:
        self.known, self.entered, self.limits = np.zeros((3, self.rows), np.int64)
        self.owned = np.zeros(self.rows, np.int64)
        self.live = np.zeros(self.rows, np.bool_)
        self.requests = np.full(self.rows, None, object)
        self._free = list(range(self.rows))

    @property
    def pending(self) -> Ints:
        """int64[rows]: steps of a row whose counts have not been read."""
        return np.minimum(self._launched - self._read, self._launched - self.entered)

    @property
    def upper(self) -> Ints:
        """int64[rows]: the true length is at most this, and at most ``bounds.slack`` below."""
        return np.minimum(self.known + self.pending * self.bounds.queries, self.limits)

    @property
    def top(self) -> int:
        """Rows up to the last one in use."""
        return self._held().top

    @property
    def room(self) -> int:
        """Rows that nobody has."""
        return len(self._free)

    def wanted(self, steps: int = 0) -> Ints:
        """int64[rows]: pages that the next step needs of each live row, and ``steps`` steps behind it."""
        reach = self.bounds.reach + steps * self.bounds.queries
        tokens = np.minimum(self.upper + reach, self.limits)
        return np.where(self.live, -(-tokens // self.page), 0)

    def spared_of(self, row: int) -> int:
        """Steps behind the next one for which this row, whose lengths are all read, needs no page that it has not."""
        tokens = int(self.owned[row]) * self.page
        if tokens >= self.limits[row]:
            return FOR_EVER
        return (tokens - int(self.known[row]) - self.bounds.reach) // self.bounds.queries

    @property
    def spared(self) -> int:
        """Steps behind the next one for which no live row needs a page that it has not."""
        tokens = self.owned * self.page
        short = self.live & (tokens < self.limits)
        left = (tokens - self.upper - self.bounds.reach)[short]
        return int(left.min()) // self.bounds.queries if left.size else FOR_EVER

    def row(self) -> int:
        """The lowest free row, so that the batch stays small."""
        return heapq.heappop(self._free)

    def enter(self, request: Request, length: int) -> None:
        row = request.row
        self.known[row], self.entered[row], self.limits[row] = length, self._launched, request.limit
        self.owned[row], self.live[row], self.requests[row] = 0, True, request
        self._now = None
        self._running = min(self._running, (request.limit - length - 1) // self.bounds.queries)

    def leave(self, request: Request) -> None:
        row = request.row
        self.live[row], self.requests[row], request.seated = False, None, False
        self.limits[row] = self.owned[row] = self.known[row] = 0
        heapq.heappush(self._free, row)
        self._now = None

    def launch(self) -> Launched:
        """A step of all live rows is launched."""
        self._launched += 1
        return self._held()

    def over(self) -> list[Request]:
        """Who needs no step behind the one that has just been launched: each gives a live row a token at least."""
        if self._running:
            self._running -= 1
            return []
        rows = self._held().rows
        left = (self.limits - self.known - self.pending)[rows]
        sure = (self.limits - self.upper)[rows]
        if rows.size:
            self._running = max((int(sure.min()) - 1) // self.bounds.queries, 0)
        return self.requests[rows[left <= 0]].tolist()

    def _held(self) -> Launched:
        if self._now is None:
            self._now = Launched.of(self.live, self.requests)
        return self._now

    def read(self, step: Launched, counts: NDArray[np.int32]) -> tuple[slice | Ints, list[Request]]:
        """The counts of a step are known, int32[rows]; returns which rows' requests wait for them, and those requests."""
        self._read += 1
        where, requests = step.where, step.requests
        if step is self._now:
            self.known[where] += counts[where]
            return where, requests
        same = step.rows[[request.seated for request in requests]]
        self.known[same] += counts[same]
        where = step.rows[[request.live for request in requests]]
        return where, [request for request in requests if request.live]
