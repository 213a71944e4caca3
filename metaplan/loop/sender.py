# pyright: basic
"""Where the host's changes run: beside the step in flight where rows only grow, else behind it.

A page that a row is given lies behind all that the steps in flight read: they were launched with pages for more tokens
than they can have. Such a change may run on a stream of its own at once. A request that enters or leaves a row changes
what those steps read, so that it has to wait for them, on the loop's own stream.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from metaplan.loop.changes import Changes
from metaplan.loop.plans import Plans
from metaplan.runtime.marks import mark_for
from metaplan.runtime.streams import raw_stream


class Sender:
    """Sends changes so that the next step on the current stream sees them."""

    def __init__(self, plans: Plans, device: torch.device) -> None:
        self._plans = plans
        self._side: Any = None
        if device.type == "cuda":
            self._side = torch.cuda.Stream(device)
            self._ordered, self._grown = mark_for(self._side.device), mark_for(self._side.device)
            self._current = partial(raw_stream(), self._side.device.index)

    def send(self, changes: Changes) -> None:
        plans, growth = self._plans, changes.growth
        self._apply(changes)
        # What was prepared ahead has pages for one step more: growth alone does not change it.
        for step in () if growth else plans.fresh:
            step()

    def _apply(self, changes: Changes) -> None:
        plans = self._plans
        if self._side is None:
            plans.apply(changes)
        elif changes.growth:
            side, current = self._side.cuda_stream, self._current()
            # A row that grows was entered by a change on the loop's stream: behind that one.
            self._ordered.hold(side)
            with torch.cuda.stream(self._side):
                plans.apply(changes)
            self._grown.record(side)
            self._grown.hold(current)
        else:
            plans.apply(changes)
            self._ordered.record(self._current())
