"""Whether two points can name the same element: what a plan must show before it writes without order."""

from __future__ import annotations

from metaplan import ir
from metaplan.linear import linear
from metaplan.sums import collapsed


def distinct(index: tuple[ir.Expr, ...], axis: ir.Axis | None) -> bool:
    """Whether no two points of ``axis`` have the same ``index``."""
    needed = {a for a in ir.chain(axis) if not collapsed(a)}
    told: set[ir.Axis] = set()
    for e in index:
        told |= _told(e)
    return needed <= told


def _told(e: ir.Expr) -> set[ir.Axis]:
    """The axes whose points ``e`` tells apart, where the other indices tell apart those above."""
    match e:
        case ir.Cast(of, ir.DType.I64):
            return _told(of)
        case ir.Index(axis):
            return set(ir.chain(axis))
        case ir.Offset(axis):
            return {axis}
        case ir.Distinct(of, per):
            return set(ir.chain(ir.axis_of(of))) - set(ir.chain(per))
        case ir.Load(source, index) if source.distinct:
            lives = ir.axis_of(e)
            own = len(index) == 1 and isinstance(index[0], ir.Index)
            return set(ir.chain(lives)) if own else set()
        case ir.Bin(ir.Op.ADD | ir.Op.SUB | ir.Op.MUL):
            return _sum_tells(e)
        case _:
            return set()


def _sum_tells(e: ir.Expr) -> set[ir.Axis]:
    """A sum tells apart what one of its terms does, if the others are the same there, or are row * width."""
    terms = linear(e).terms
    for term, times in terms:
        if term == e:
            return set()
        told = _told(term)
        if not told:
            continue
        highest = min(told, key=lambda a: len(ir.chain(a)))
        above = set(ir.chain(highest)[:-1])
        others = [t for t, _ in terms if t != term]
        if all(set(ir.chain(ir.axis_of(t))) <= above for t in others):
            return told | _rows(told, others, terms) if abs(times) == 1 else told
    return set()


def _rows(
    told: set[ir.Axis], others: list[ir.Expr], terms: tuple[tuple[ir.Expr, int], ...]
) -> set[ir.Axis]:
    """The rows too, where the only other term is row * width and a row has no more than width points."""
    if len(others) != 1 or not isinstance(others[0], ir.Index):
        return set()
    (width,) = [k for t, k in terms if t == others[0]]
    bounds = [a.width for a in told if isinstance(a, ir.Dense) and isinstance(a.width, int)]
    bounds += [a.most for a in told if isinstance(a, ir.Ragged) and a.most is not None]
    return set(ir.chain(others[0].axis)) if len(bounds) == 1 and width >= bounds[0] else set()
