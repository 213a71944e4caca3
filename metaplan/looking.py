"""What a program must go along its points for: sums and orders of a row, numbers carried from point to point."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metaplan import ir
from metaplan.sums import frame

Roots = Iterable[ir.Expr]


def sequence(axes: tuple[ir.Axis, ...], roots: Roots) -> ir.Axis | None:
    """The axis along which something is carried to the points of ``axes``, or past the last one below each of them."""
    folds = [e for e in _points(roots) if isinstance(e, ir.Fold)]
    to_points = (e.axis for e in folds if e.when is not ir.When.LAST and frame(e.axis) == axes)
    past = (e.axis for e in folds if e.when is ir.When.LAST and frame(ir.parent(e.axis)) == axes)
    return next(to_points, next(past, None))


def _points(roots: Roots) -> Iterator[ir.Expr]:
    """What the points themselves compute one after the other: what is sorted lies in lanes before."""
    stack, seen = list(roots), set[ir.Expr]()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        yield e
        match e:
            case ir.Across(_, of):
                stack += [g.of for g in ir.asked(of)]
            case ir.Sort():
                pass
            case _:
                stack += ir.children(e)


def rows_along(axes: tuple[ir.Axis, ...], roots: Roots) -> list[ir.RowScan | ir.Sort]:
    """The sums and orders of rows along the last one of ``axes``."""
    every = (e for e in ir.near(*roots) if isinstance(e, ir.RowScan | ir.Sort))
    return [e for e in every if frame(e.over) == axes]


def sums_above(axes: tuple[ir.Axis, ...], roots: Roots) -> bool:
    """Whether points of ``axes`` need what is summed up along rows above them."""
    stack, seen = list(roots), set[ir.Expr]()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        match e:
            case ir.Reduce(_, _, over, ir.Root() | ir.Dense() | ir.Ragged() | ir.Part() as to):
                if len(frame(to)) < len(axes) and frame(over) != frame(to):
                    return True
            case ir.RowScan(_, over) if len(frame(over)) < len(axes):
                return True
            # what a pass over other points computes is none of this program's points
            case ir.Reduce() | ir.Scan():
                pass
            case ir.Across(_, of):
                stack += [g.of for g in ir.asked(of)]
            case _:
                stack += ir.children(e)
    return False


def updated(plan: ir.Plan) -> list[ir.Axis]:
    """The root axes whose rows a plan reads and updates."""
    read = {e.source for e in ir.walk(*ir.exprs(plan)) if isinstance(e, ir.Load)}
    changes = [u for u in plan.updates if u.axis is not None and u.target in read]
    return list(dict.fromkeys(frame(u.axis)[0] for u in changes))


def bound_elsewhere(e: ir.Expr) -> ir.Expr | None:
    """What stands in ``e`` for something that is known outside of it only."""
    inside: set[ir.Expr] = set()
    for x in ir.walk(e):
        match x:
            case ir.Bisect(_, _, _, trial):
                inside.add(trial)
            case ir.Fold(_, _, _, carries):
                inside |= set(carries)
            case _:
                pass
    for x in ir.walk(e):
        if isinstance(x, ir.Trial | ir.Carry) and x not in inside:
            return x
    for given in ir.asked(e):
        return given
    return None
