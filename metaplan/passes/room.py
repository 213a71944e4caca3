"""Room for what is kept of every point of an axis: packed as outputs are, or as wide as the longest row."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.ir import Op
from metaplan.passes.bind import LIMIT
from metaplan.ranges import Ranges
from metaplan.sums import frame


def grid(axis: ir.Axis | None) -> bool:
    """Whether every row of ``axis`` has the same number of points."""
    return all(isinstance(a, ir.Root | ir.Dense) for a in ir.chain(axis))


def padded(axis: ir.Axis, ranges: Ranges) -> ir.Expr:
    """Where a point of ``axis`` is kept when every row has room for its longest."""
    place: ir.Expr | None = None
    for a in frame(axis):
        own: ir.Expr = ir.Offset(a, loc=a.loc)
        if place is not None:
            room = ir.Const(ranges.bound(a), loc=a.loc)
            place = ir.Bin(Op.ADD, ir.Bin(Op.MUL, place, room, loc=a.loc), own, loc=a.loc)
        else:
            place = own
    assert place is not None
    return place


def cells(axis: ir.Axis, ranges: Ranges) -> int:
    """How many places ``padded`` has."""
    total = 1
    for a in frame(axis):
        total *= ranges.bound(a)
    if total >= LIMIT:
        raise catalogue.too_many_points(axis.name, total, axis.loc)
    return total
