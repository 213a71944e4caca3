"""What is carried along an axis, seen from a point of it: a carry in front of the point is BEFORE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from metaplan import ir
from metaplan.ir import When
from metaplan.passes.rewrite import Rewriter


def substituted(e: ir.Expr, values: Mapping[ir.Expr, ir.Expr]) -> ir.Expr:
    """``e`` with what ``values`` has in the place of its keys."""
    return Rewriter(values.get).expr(e)


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


def tried(e: ir.Expr) -> bool:
    """Whether ``e`` depends on a number that a search around it tries."""
    every = set(ir.walk(e))
    known = {x.trial for x in every if isinstance(x, ir.Bisect)}
    return any(isinstance(x, ir.Trial) and x not in known for x in every)
