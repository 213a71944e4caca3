"""What a fold reads at its points without knowing what is carried: many places at once, in front of them.

A loop that waits for memory at each place costs the latency of a load a place. Values that need no carry are computed
for a tile of places beside each other; each place takes its own from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from metaplan import ir
from metaplan.ir import DType
from metaplan.lower.emit import TRITON, Level
from metaplan.lower.places import Walk
from metaplan.lower.scans import Summing
from metaplan.nodes import NARROW
from metaplan.program import Let, Loop, Stmt
from metaplan.schedule import power
from metaplan.text import ATOM

WIDTH = 32
"""Places that are read at once: those of a warp, so that none waits for another one."""
_POINTWISE = ir.Const | ir.Load | ir.Bin | ir.Not | ir.Where | ir.Cast | ir.Choice | ir.Offset


@dataclass(slots=True)
class Ahead:
    """A tile of ``width`` places from ``first`` on, in front of the loop that goes along them."""

    way: Walk
    lanes: Summing
    body: list[Stmt]
    first: str
    width: int

    @classmethod
    def of(cls, above: Summing, axis: ir.Axis, way: Walk) -> Ahead:
        names, bound = above.shared.names, above.shared.ranges.bound(axis)
        width, body = min(power(bound), WIDTH), list[Stmt]()
        first = names.fresh(f"{axis.name}_first") if bound > width else ""
        each = names.fresh(f"{axis.name}_each")
        span = f"tl.arange(0, {width})" + ("[None, :]" if above.column else "")
        body.append(Let(each, f"{first} + {span}" if first else span))
        lanes = above.below(Level(axis, each, f"{each} < {way.count}", body, "lanes", width))
        live = names.fresh(f"{axis.name}_ahead")
        body.append(Let(live, lanes.levels[-1].live))
        lanes.levels[-1].live = live
        lanes.block_at = None
        return cls(way, lanes, body, first, width)

    def take(self, e: ir.Load) -> None:
        """Reads ``e`` for all places of the tile; in the loop the name of one stands for it."""
        inner, names, dtype = self.way.tile, self.lanes.shared.names, e.source.dtype
        name = names.fresh(names.wish(e) or e.source.name)
        every = self.lanes.plain(e)
        here = f"{self.lanes.levels[-1].offset} == {self.way.place}"
        along = "1, keep_dims=True" if inner.column else "0"
        if dtype is DType.BOOL:
            value = f"tl.sum(tl.where(({here}) & {every}, 1, 0), {along}) > 0"
        else:
            value = f"tl.sum(tl.where({here}, {every}, 0), {along})"
        self.way.body.append(
            Let(name, f"{value}.to({TRITON[dtype]})" if dtype in NARROW else value)
        )
        inner.memo[e] = name, ATOM

    def lines(self) -> list[Stmt]:
        """The loop over the tiles, and in it the one over their places."""
        if not self.first:
            return [*self.body, self.way.loop()]
        stop = f"tl.minimum({self.first} + {self.width}, {self.way.stop})"
        inner = Loop(self.way.place, self.first, stop, "1", tuple(self.way.body))
        return [Loop(self.first, "0", self.way.stop, str(self.width), (*self.body, inner))]


def unhindered(inner: Summing, roots: Iterable[ir.Expr]) -> Iterator[ir.Load]:
    """What ``roots`` read at a place where they need nothing of what is carried there."""
    depth, seen = len(inner.levels), set[ir.Expr]()

    def free(e: ir.Expr) -> bool:
        if inner.depth(e) < depth:
            return True
        return isinstance(e, _POINTWISE) and all(map(free, ir.children(e)))

    def visit(e: ir.Expr) -> Iterator[ir.Load]:
        if e in seen or not isinstance(e, _POINTWISE) or inner.depth(e) < depth:
            return
        seen.add(e)
        if isinstance(e, ir.Load) and free(e):
            yield e
            return
        for c in ir.children(e):
            yield from visit(c)

    for root in roots:
        yield from visit(root)
