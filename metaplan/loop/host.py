"""What the host knows of a loop's rows: lengths that it has read, and steps that it has not."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metaplan.loop.bounds import Bounds
from metaplan.loop.request import Request

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Launched:
    """A step in flight: the rows that were live, and how often each had changed hands; every row's request."""

    rows: Ints
    owners: Ints
    requests: NDArray[np.object_]


@dataclass(slots=True)
class Host:
    """The rows of a loop.

    Attributes:
        known: int64[rows], the length that was read last.
        pending: int64[rows], steps launched since whose counts were not read.
        limits: int64[rows].
        owned: int64[rows], pages.
        owners: int64[rows], how many requests the row has had.
        live: bool[rows].
        requests: the request of each row.
    """

    bounds: Bounds
    rows: int
    page: int
    known: Ints = field(init=False)
    pending: Ints = field(init=False)
    limits: Ints = field(init=False)
    owned: Ints = field(init=False)
    owners: Ints = field(init=False)
    live: NDArray[np.bool_] = field(init=False)
    requests: NDArray[np.object_] = field(init=False)
    _free: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.known, self.pending, self.limits = np.zeros((3, self.rows), np.int64)
        self.owned, self.owners = np.zeros((2, self.rows), np.int64)
        self.live = np.zeros(self.rows, np.bool_)
        self.requests = np.full(self.rows, None, object)
        self._free = list(range(self.rows))

    @property
    def upper(self) -> Ints:
        """int64[rows]: the true length is at most this, and at most ``bounds.slack`` below."""
        return np.minimum(self.known + self.pending * self.bounds.queries, self.limits)

    @property
    def top(self) -> int:
        """Rows up to the last one in use."""
        used = np.flatnonzero(self.live)
        return int(used[-1]) + 1 if used.size else 0

    @property
    def room(self) -> int:
        """Rows that nobody has."""
        return len(self._free)

    def wanted(self, steps: int = 0) -> Ints:
        """int64[rows]: pages that the next step needs of each live row, and ``steps`` steps behind it."""
        reach = self.bounds.reach + steps * self.bounds.queries
        tokens = np.minimum(self.upper + reach, self.limits)
        return np.where(self.live, -(-tokens // self.page), 0)

    def row(self) -> int:
        """The lowest free row, so that the batch stays small."""
        return heapq.heappop(self._free)

    def enter(self, request: Request, length: int) -> None:
        row = request.row
        self.known[row], self.pending[row], self.limits[row] = length, 0, request.limit
        self.owned[row], self.live[row], self.requests[row] = 0, True, request
        self.owners[row] += 1

    def leave(self, request: Request) -> None:
        row = request.row
        self.live[row], self.requests[row], request.live = False, None, False
        self.limits[row] = self.owned[row] = self.known[row] = self.pending[row] = 0
        heapq.heappush(self._free, row)

    def launch(self) -> Launched:
        """A step of all live rows is launched."""
        self.pending[self.live] += 1
        return Launched(np.flatnonzero(self.live), self.owners.copy(), self.requests.copy())

    def read(self, step: Launched, counts: NDArray[np.int32]) -> Ints:
        """The counts of a step are known, int32[rows]; returns the rows whose request still has them."""
        rows = step.rows
        same = rows[(step.owners[rows] == self.owners[rows]) & self.live[rows]]
        self.known[same] += counts[same]
        self.pending[same] -= 1
        return same
