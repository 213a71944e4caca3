"""The KV pools of SGLang 0.5.23, and how a page table of theirs is read off the request table."""

from __future__ import annotations

from dataclasses import dataclass

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.arrays import Array

FULL, SWA = "page_table", "swa_page_table"


@dataclass(frozen=True, slots=True)
class Pool:
    """A KV pool and the request table that leads into it.

    Args:
        page: tokens a page.
        moved: sliding-window layers have a pool of their own, to which ``full_to_swa`` leads.
        unified: slots of ``req_to_token`` are virtual, -1 where there is none; ``full_v2p``, and
            ``swa_v2p`` if ``moved``, have the places of pages.
        context: the longest sequence.
        rows: rows of ``req_to_token``.
        slots: its slots.
    """

    page: int = 1
    moved: bool = False
    unified: bool = False
    context: int = 131072
    rows: int = 4096
    slots: int = 1 << 24

    @property
    def pages(self) -> int:
        """Pages of the longest sequence."""
        return -(-self.context // self.page)

    def reader(self) -> Reader:
        """Declares the inputs that lead from a slot to where it lies."""
        if self.unified:
            place = mp.between(-1, self.slots // self.page)
            names = ("full_v2p", "swa_v2p") if self.moved else ("full_v2p",)
            return Reader(self, tuple(mp.array(n, i64.KIND, "virtual_page", place) for n in names))
        if not self.moved:
            return Reader(self, ())
        return Reader(self, (mp.array("full_to_swa", i64.KIND, "slot", mp.below(self.slots)),))


@dataclass(frozen=True, slots=True)
class Reader:
    """Where slots lie: ``maps`` are the inputs that move them, or their pages."""

    pool: Pool
    maps: tuple[Array, ...]

    def tables(self, slot: mp.Value) -> dict[str, mp.Value]:
        """The page of ``slot`` by the name of the table that it belongs into."""
        page = self.pool.page
        if self.pool.unified:
            number = mp.maximum(slot // page, 0)
            places = [mp.maximum(i32(v2p[number]), 0) for v2p in self.maps]
            return dict(zip((FULL, SWA), places, strict=False))
        found = {FULL: slot // page}
        if self.maps:
            found[SWA] = i32(self.maps[0][slot]) // page
        return found
