# pyright: basic
"""The free pages of a KV cache on the device: a stack, and two sides of who has how many."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metaplan.loop.state import State
from metaplan.plans.decode_settings import Settings


@dataclass(frozen=True, slots=True)
class Side:
    """What a plan reads, or writes.

    Attributes:
        reserved: int32[rows], tokens for which a row has pages.
        free: int32[1], pages that no row has.
    """

    reserved: torch.Tensor
    free: torch.Tensor


@dataclass(frozen=True, slots=True)
class FreePages:
    """Page 0 is never free, so that a stray write harms nobody.

    Attributes:
        stack: int32[pages], of which the first ``here.free`` cells hold the pages that no row has.
        here: what holds between two steps.
        there: what holds between the plan that gives pages and the one that takes them back.
    """

    stack: torch.Tensor
    here: Side
    there: Side

    @staticmethod
    def all_of(settings: Settings, state: State) -> FreePages:
        """No row has a page; the lowest are given first."""
        pages, reserved = settings.pages, state.reserved
        stack = torch.arange(pages - 1, -1, -1, dtype=torch.int32, device=reserved.device)
        free = torch.full((1,), pages - 1, dtype=torch.int32, device=reserved.device)
        there = Side(torch.zeros_like(reserved), torch.zeros_like(free))
        return FreePages(stack, Side(reserved, free), there)

    def forth(self) -> dict[str, torch.Tensor]:
        """What a plan takes that reads ``here`` and writes ``there``."""
        return self._between(self.here, self.there)

    def back(self) -> dict[str, torch.Tensor]:
        """What a plan takes that reads ``there`` and writes ``here``."""
        return self._between(self.there, self.here)

    def _between(self, now: Side, then: Side) -> dict[str, torch.Tensor]:
        return {
            "free_pages": self.stack,
            "reserved": now.reserved,
            "free": now.free,
            "next_reserved": then.reserved,
            "next_free": then.free,
        }
