"""What is carried along an axis, seen from a point of it: a carry in front of the point is BEFORE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metaplan import ir
from metaplan.ir import When


def substituted(e: ir.Expr, values: Mapping[ir.Expr, ir.Expr]) -> ir.Expr:
    """``e`` with the value of each carry or trial in its place; a fold or a search inside keeps its own."""
    known: dict[ir.Expr, ir.Expr] = dict(values)

    def visit(x: ir.Expr) -> ir.Expr:
        if x not in known:
            known[x] = (
                x
                if not values.keys().isdisjoint(_bound(x))
                else ir.rebuild(x, tuple(map(visit, ir.children(x))))
            )
        return known[x]

    return visit(e)


def _bound(e: ir.Expr) -> tuple[ir.Expr, ...]:
    match e:
        case ir.Fold(_, _, _, carries):
            return carries
        case ir.Bisect():
            return (e.trial,)
        case _:
            return ()


def seen(e: ir.Fold, of: ir.Expr) -> ir.Expr:
    """``of``, from a step of ``e``, as a value of its own on the axis of ``e``."""
    return substituted(of, {c: replace(e, at=c.at, when=When.BEFORE) for c in e.carries})


def steps(e: ir.Fold) -> tuple[ir.Expr, ...]:
    """What each carry becomes at a point, by what is carried to it."""
    return tuple(seen(e, s) for s in e.steps)


def unfolded(e: ir.Fold) -> ir.Expr:
    """A fold along an axis of at most one point a row: its step once, or not at all."""
    start = e.inits[e.at]
    if e.when is When.BEFORE:
        return start
    once = substituted(e.steps[e.at], dict(zip(e.carries, e.inits, strict=True)))
    if e.when is When.AFTER:
        return once
    assert isinstance(e.axis, ir.Ragged)
    some = ir.Bin(ir.Op.LT, ir.Const(0, loc=e.loc), e.axis.length, loc=e.loc.unnamed())
    return ir.Where(some, once, start, loc=e.loc)
