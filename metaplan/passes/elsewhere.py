"""A value of another point: computed here where nothing but that point is read, or as it was left there."""

from __future__ import annotations

from dataclasses import replace

from metaplan import ir
from metaplan.ir import Op


def inlined(of: ir.Expr, axis: ir.Axis) -> bool:
    """Whether a value at another point is computed there: it needs nothing but that point."""
    if not ir.top(axis):
        return False
    plain = ir.Const | ir.Load | ir.Bin | ir.Not | ir.Where | ir.Cast | ir.Offset | ir.Choice
    return all(isinstance(x, plain) for x in ir.walk(of))


def moved(e: ir.Expr, axis: ir.Axis, place: ir.Expr, live: ir.Expr) -> ir.Expr:
    """``e`` at the point ``place`` of its root axis, where such a point is."""
    match e:
        case ir.Offset(own) if own == axis:
            wide = ir.dtype_of(place) is ir.DType.I64
            return ir.Cast(place, ir.DType.I32, loc=e.loc) if wide else place
        case ir.Load(_, at, guard):
            index = tuple(moved(i, axis, place, live) for i in at)
            inner = live if guard is None else both(live, moved(guard, axis, place, live))
            return replace(e, index=index, guard=inner)
        case _:
            return ir.rebuild(e, tuple(moved(c, axis, place, live) for c in ir.children(e)))


def both(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    """``a`` and ``b``."""
    return ir.Bin(Op.AND, a, b, loc=b.loc.unnamed())


def left_before(e: ir.Fold, place: ir.Expr, after: ir.Input, start: ir.Expr) -> ir.Expr:
    """What is carried to point ``place`` of a fold of the batch, of which ``after`` holds what each point leaves."""
    quiet = e.loc.unnamed()
    one, nothing = ir.Const(1, loc=quiet), min(max(0, after.lo or 0), after.hi or 0)
    behind: ir.Expr = ir.Bin(Op.LE, one, place, loc=quiet)
    left = ir.Load(after, (ir.Bin(Op.SUB, place, one, loc=quiet),), behind, nothing, loc=e.loc)
    return ir.Where(behind, left, start, loc=e.loc)
