"""Pages that the host gives to rows, for an upper bound of their lengths."""

from __future__ import annotations

import numpy as np

from metaplan import catalogue
from metaplan.loop.changes import Changes
from metaplan.loop.host import Host
from metaplan.loop.pages import Pool
from metaplan.loop.request import Request

SOON = 8
"""Steps: a row that needs a page within so many gets it with the next transfer."""


class HostPaging:
    """The host owns the pages: it knows each by number, and sends rows those that are new.

    Args:
        host: what is known of the rows.
        pages: pages of the cache; page 0 is given to nobody.
        overcommit: requests enter whose longest outputs would not fit together.
        fenced: pages come back only after the steps in flight.
    """

    def __init__(self, host: Host, pages: int, *, overcommit: bool, fenced: bool) -> None:
        self.pages, self.overcommit = pages, overcommit
        self._host, self._pool = host, Pool(pages, fenced=fenced)
        self._promised = 0
        self._spared = 0

    @property
    def free(self) -> int:
        return self._pool.free

    @property
    def away(self) -> int:
        """Pages that wait for steps in flight."""
        return self._pool.away

    @property
    def spare(self) -> int:
        """Pages that no live request was promised; those that are free, with ``overcommit``."""
        return self.free if self.overcommit else self.pages - 1 - self.away - self._promised

    def fits(self, first: int, whole: int) -> bool:
        return first <= self.free and (self.overcommit or whole <= self.spare)

    def request(self, key: object, row: int, length: int, limit: int) -> Request:
        return Request(key, row, self._host.page, limit)

    def enter(self, request: Request, first: int, changes: Changes) -> None:
        self._promised += request.whole
        self._grow(request.row, first, changes)
        self._spared = min(self._spared, self._host.spared_of(request.row))

    def reserve(self, changes: Changes) -> None:
        """Every live row has pages for its upper bound and one step more.

        Where one row needs a page, those that need one soon get theirs with it: a transfer costs what is in it little.
        """
        if self._spared:
            self._spared -= 1
            return
        host = self._host
        more = host.wanted() - host.owned
        if (more <= 0).all():
            self._spared = host.spared
            return
        soon = host.wanted(SOON) - host.owned
        if not self.overcommit and int(np.maximum(soon, 0).sum()) <= self.free:
            more = soon
        short = np.flatnonzero(more > 0)
        counts = more[short]
        if int(counts.sum()) > self.free:
            raise catalogue.loop_out_of_pages(int(counts.sum()), self.free)
        for row, count in zip(short.tolist(), counts.tolist(), strict=True):
            self._grow(row, count, changes)

    def leave(self, request: Request, launched: int, changes: Changes) -> None:
        self._promised -= request.whole
        self._pool.give(request.pages, launched=launched)

    def passed(self, read: int) -> None:
        self._pool.passed(read)

    def _grow(self, row: int, count: int, changes: Changes) -> None:
        request: Request = self._host.requests[row]
        pages = self._pool.take(count)
        changes.grow(row, int(self._host.owned[row]), pages)
        request.grow(pages)
        self._host.owned[row] += count
