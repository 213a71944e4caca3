"""One store: to an element of its own, or combined with what others bring to the same element."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import Combine
from metaplan.lower.emit import Tile
from metaplan.program import Atomic, Store
from metaplan.writes import Write

ATOMIC = frozenset({Combine.ADD, Combine.MAX, Combine.MIN, Combine.OR})
"""How several points share an element in no order."""


def stored(tile: Tile, w: Write, pointer: str, mask: str) -> Store | Atomic:
    """``w`` at the points of ``tile`` where ``mask`` holds."""
    assert w.combine is not Combine.LAST, "the winners are chosen by a launch before"
    pointer += _spread(tile, w)
    value = tile.plain(w.value)
    if w.combine in ATOMIC:
        return Atomic(w.combine.value, pointer, value, mask)
    return Store(pointer, value, mask)


def _spread(tile: Tile, w: Write) -> str:
    """What gives a pointer the shape of the tile: Triton stores no tile through fewer pointers."""
    place = w.at if w.position is None else (w.position,)
    covered = {
        tile.levels[tile.depth(e) - 1].shape
        for e in ir.walk(*place)
        if isinstance(e, ir.Offset | ir.Scan | ir.Reduce | ir.RowScan) and tile.depth(e)
    }
    missing = {
        level.shape: level.offset
        for level in tile.levels
        if level.shape != "scalar" and level.shape not in covered
    }
    return "".join(f" + tl.zeros_like({offset})" for offset in missing.values())
