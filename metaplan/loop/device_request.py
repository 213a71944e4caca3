# pyright: basic
"""A request whose pages the device alone knows by number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from metaplan import catalogue
from metaplan.loop.request import Pages, Request


@dataclass(slots=True, eq=False)
class DeviceRequest(Request):
    """A live request of a loop with ``paging="device"``.

    Attributes:
        table: int32[pages], its row of the block table.
        room: tokens for which it has pages before its first step.
        flush: lets the device give it those, if it has not yet.
    """

    table: Any = field(kw_only=True, repr=False)
    room: int = field(kw_only=True)
    flush: Callable[[], None] = field(kw_only=True, repr=False)

    @property
    def pages(self) -> Pages:
        """Not known here.

        Raises:
            CallError: always.
        """
        raise catalogue.loop_pages_unknown(self.row)

    def slots(self, start: int, stop: int) -> torch.Tensor:
        """int64[stop - start] on the device, without a wait: where the keys and values of these positions go.

        For the prompt: computed behind all that is queued on the current stream. Work on another stream waits for
        this one before it reads them.

        Raises:
            CallError: the request is over, or a position has no page before the first step.
        """
        if not self.seated:
            raise catalogue.loop_slots_over()
        if stop > self.room:
            raise catalogue.loop_slots_beyond(stop, self.room)
        self.flush()
        pos = torch.arange(start, stop, device=self.table.device)
        held = self.table.index_select(0, pos // self.page)
        return held.long() * self.page + pos % self.page
