"""The running sums of a plan, each over an axis that is enumerated."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan import ir


def frame(axis: ir.Axis | None) -> tuple[ir.Axis, ...]:
    """The axes that the points of ``axis`` are enumerated along: at most one point a row adds none."""
    return tuple(a for a in ir.chain(axis) if not collapsed(a))


def collapsed(axis: ir.Axis) -> bool:
    """An axis with at most one point a row has its parent's points, or some of them."""
    return isinstance(axis, ir.Ragged) and axis.most == 1


def plainly_one(axis: ir.Axis) -> bool:
    """Whether a row has at most one point, and no sum over a row below says which rows have it."""
    lengths = [a.length for a in ir.chain(axis) if isinstance(a, ir.Ragged) and collapsed(a)]
    rows = (x for x in ir.walk(*lengths) if isinstance(x, ir.Reduce) and x.to is not None)
    return collapsed(axis) and all(frame(x.over) == frame(x.to) for x in rows)


def some(axis: ir.Ragged) -> ir.Expr:
    """Whether a row of an axis with at most one point a row has that point."""
    if isinstance(axis.length, ir.Cast) and ir.dtype_of(axis.length.of) is ir.DType.BOOL:
        return axis.length.of
    if isinstance(axis.length, ir.Const):
        return ir.Const(int(axis.length.value > 0), ir.DType.BOOL, loc=axis.loc)
    return ir.Bin(ir.Op.LT, ir.Const(0, loc=axis.loc), axis.length, loc=axis.loc)


def members(axis: ir.Axis | None) -> ir.Expr | None:
    """Whether a point of ``frame(axis)`` is one of ``axis``: all axes that select points select it."""
    every: ir.Expr | None = None
    for a in ir.chain(axis):
        if isinstance(a, ir.Ragged) and collapsed(a):
            own = some(a)
            every = own if every is None else ir.Bin(ir.Op.AND, every, own, loc=a.loc)
    return every


def standing(axis: ir.Dense) -> ir.Expr | None:
    """Whether a row that ``axis`` is enumerated under is one of its parent; None where all are."""
    return members(axis.parent) if axis.parent is not None and collapsed(axis.parent) else None


def member(axis: ir.Axis, of: ir.Expr, empty: int) -> tuple[ir.Axis, ir.Expr]:
    """A sum over an axis with at most one point a row, as one over the axis that it selects from."""
    while isinstance(axis, ir.Ragged) and axis.most == 1:
        one = isinstance(of, ir.Const) and of.value == 1 and empty == 0
        nothing = ir.Const(empty, ir.dtype_of(of), loc=axis.loc)
        some = ir.Bin(ir.Op.LT, ir.Const(0, loc=axis.loc), axis.length, loc=axis.loc)
        of = axis.length if one else ir.Where(some, of, nothing, loc=axis.loc)
        axis = axis.parent
    return axis, of


def normal(e: ir.Scan) -> ir.Scan:
    """The same running sum over an axis that is enumerated."""
    over, of = member(e.over, e.of, 0)
    return ir.Scan(of, over, loc=e.loc)


def sums(roots: Iterable[ir.Expr]) -> list[ir.Scan]:
    """The running sums inside ``roots``, and the totals of the batch as the sums that they end."""
    found: dict[ir.Scan, None] = {}
    for e in ir.near(*roots):
        match e:
            case ir.Scan():
                found.setdefault(normal(e))
            case ir.Reduce(ir.Monoid.SUM, of, over, None) if not ir.tried(e):
                found.setdefault(normal(ir.Scan(of, over, loc=e.loc)))
            case ir.Size(ir.Ragged() | ir.Part() as axis):
                found.setdefault(normal(ir.Scan(axis.length, axis.parent, loc=e.loc)))
            case _:
                pass
    return list(found)
