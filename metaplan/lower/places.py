"""The points below each row of a tile, one place after the other."""

from __future__ import annotations

from dataclasses import dataclass

from metaplan import ir
from metaplan.lower.emit import Level
from metaplan.lower.passes_over import length_of
from metaplan.lower.scans import Summing
from metaplan.program import Let, Loop, Stmt


@dataclass(frozen=True, slots=True)
class Walk:
    """``tile`` is at one place of every row; ``body`` is what is done there."""

    tile: Summing
    body: list[Stmt]
    place: str
    count: str
    stop: str
    zeros: str = ""

    def loop(self, unroll: int = 1) -> Loop:
        return Loop(self.place, "0", self.stop, "1", tuple(self.body), unroll)


def walk(above: Summing, axis: ir.Axis) -> Walk:
    """The places of ``axis`` under the rows of ``above``, up to the end of the longest."""
    names, length = above.shared.names, length_of(axis)
    count = above.at(length, 2)
    offset = names.fresh(axis.name if ir.top(axis) else f"{axis.name}_offset")
    body: list[Stmt] = []
    place = names.fresh(f"{axis.name}_place")
    if not many(above):
        body.append(Let(offset, as_tensor(place)))
        tile = above.below(Level(axis, offset, "", body, "scalar"))
        return Walk(tile, body, place, count, count)
    level = above.levels[-1]
    zeros = f"tl.zeros({shape(above)}, tl.int32)"
    body.append(Let(offset, f"{place} + {zeros}"))
    tile = above.below(Level(axis, offset, f"{offset} < {count}", body, level.shape, level.count))
    live = names.fresh(f"{axis.name}_live")
    body.append(Let(live, tile.levels[-1].live))
    tile.levels[-1].live = live
    return Walk(tile, body, place, count, longest(above, length), zeros)


def longest(tile: Summing, length: ir.Expr) -> str:
    """The largest ``length`` of the rows of a tile; where it is one number for all of them, that number."""
    text = tile.at(length, 2)
    return f"tl.max({text})" if tile.shapes((length,)) else text


def as_tensor(place: str) -> str:
    """A turn of a loop as a tensor, which it is for a compiler only: an interpreter counts in Python's numbers."""
    return f"tl.cast({place}, tl.int32)"


def many(tile: Summing) -> bool:
    """Whether a value of the tile stands for several points."""
    return bool(tile.levels) and tile.levels[-1].shape != "scalar"


def shape(tile: Summing) -> str:
    """The shape of what differs at all points of a tile."""
    level = tile.levels[-1]
    if level.shape == "lanes" and tile.column:
        rows = next(x.count for x in tile.levels if x.shape == "column")
        return f"[{rows}, {level.count}]"
    return f"[{level.count}, 1]" if level.shape == "column" else f"[{level.count}]"


def spread(tile: Summing, e: ir.Expr) -> str:
    """``e`` as a variable that a loop may change at every point of ``tile``."""
    dtype = ir.dtype_of(e).value
    if isinstance(e, ir.Const):
        return f"tl.full({shape(tile) if many(tile) else '()'}, {e.value}, tl.{dtype})"
    if many(tile):
        return f"tl.zeros({shape(tile)}, tl.{dtype}) + {tile.at(e, 6)}"
    return tile.typed(e)
