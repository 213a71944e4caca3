# pyright: basic
"""Pages that the device gives to rows, for their true lengths: the host counts what it may promise.

The device never runs dry. The host promises a request all pages that it may ever need, and counts them until it has read
its end or launched its last step; all promises together are at most the pages. Behind every change the device first takes back what is over, so that
then only rows have pages whose requests are counted, each no more than it was promised. Until the next change no request
enters: rows grow within their promises, and one that ends still has its own.

With ``overcommit`` the host counts pages for the upper bound of each length instead, and launches no step for which they
are too few. What a request had may then be given to rows that grow, not only to one that enters: the host says of each
that is over that it leaves, and that is a change.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from metaplan import catalogue
from metaplan.loop.changes import Changes
from metaplan.loop.device_request import DeviceRequest
from metaplan.loop.host import Host
from metaplan.loop.request import Request


class DevicePaging:
    """The device owns the pages: the host knows how many each row may have, and sends none.

    Args:
        host: what is known of the rows.
        pages: pages of the cache; page 0 is given to nobody.
        overcommit: requests enter whose longest outputs would not fit together.
        table: int32[rows, pages], where the device keeps the pages of each row.
        flush: sends what has changed; behind it a request has pages for its prompt.
    """

    def __init__(
        self,
        host: Host,
        pages: int,
        *,
        overcommit: bool,
        table: torch.Tensor,
        flush: Callable[[], None],
    ) -> None:
        self.pages, self.overcommit = pages, overcommit
        self._host, self._table, self._flush = host, table, flush
        self._promised = 0

    @property
    def free(self) -> int:
        """Pages that nobody was promised; with ``overcommit``, that no upper bound needs: negative where they are short."""
        used = int(self._host.wanted().sum()) if self.overcommit else self._promised
        return self.pages - 1 - used

    @property
    def spare(self) -> int:
        return self.free

    def fits(self, first: int, whole: int) -> bool:
        return (first if self.overcommit else whole) <= self.spare

    def request(self, key: object, row: int, length: int, limit: int) -> Request:
        room = min(length + self._host.bounds.queries, limit)
        table = self._table[row]
        return DeviceRequest(
            key, row, self._host.page, limit, table=table, room=room, flush=self._flush
        )

    def enter(self, request: Request, first: int, changes: Changes) -> None:
        self._promised += request.whole

    def reserve(self, changes: Changes) -> None:
        if self.overcommit and self.free < 0:
            raise catalogue.loop_out_of_pages(-self.free, 0)

    def leave(self, request: Request, launched: int, changes: Changes) -> None:
        self._promised -= request.whole
        if self.overcommit:
            changes.leave(request.row)

    def passed(self, read: int) -> None:
        """Whatever was read: pages come back on the device."""
