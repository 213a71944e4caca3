"""Blocks of points counted by their keys: each lane of a row has one key, and all are counted at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metaplan import ir
from metaplan.ir import Op
from metaplan.linear import linear
from metaplan.passes.lazy import conjuncts
from metaplan.passes.simplify import stored_at
from metaplan.ranges import Ranges
from metaplan.sums import frame


@dataclass(frozen=True, slots=True)
class Tally:
    """How many of ``points`` points, from place ``first`` on, have the ``key`` that is a lane's place in its row.

    Those count where all of ``where`` hold. ``first`` is the same for all lanes.
    """

    first: ir.Expr
    points: int
    key: ir.Expr
    where: tuple[ir.Expr, ...]


def tally(e: ir.Across, ranges: Ranges) -> Tally | None:
    """What ``e`` counts, where it counts a block of points by their keys."""
    lane, place = ir.axis_of(e), stored_at(e.over, ranges)
    if e.op is not ir.Monoid.SUM or not isinstance(e.of, ir.Cast) or lane is None:
        return None
    first: ir.Expr | None = None
    last: ir.Expr | None = None
    key: ir.Expr | None = None
    others: list[ir.Expr] = []
    for test in conjuncts(e.of.of):
        match test:
            case ir.Bin(Op.AND):
                pass
            case ir.Bin(Op.LE, ir.Given(of), at) if at == place and first is None:
                first = of
            case ir.Bin(Op.LT, at, ir.Given(of)) if at == place and last is None:
                last = of
            case ir.Bin(Op.EQ, own, ir.Given(of)) if key is None and not ir.asked(own):
                shift = linear(of) - linear(ir.Offset(lane))
                if shift.terms:
                    return None
                key = own if not shift.const else _minus(own, shift.const)
            case _ if not ir.asked(test):
                others.append(test)
            case _:
                return None
    if first is None or last is None or key is None or frame(ir.axis_of(first)) == frame(lane):
        return None
    points = linear(last) - linear(first)
    return None if points.terms else Tally(first, points.const, key, tuple(others))


def _minus(e: ir.Expr, n: int) -> ir.Expr:
    op = Op.SUB if n > 0 else Op.ADD
    return ir.Bin(op, e, ir.Const(abs(n), loc=e.loc), loc=e.loc.unnamed())


def tallies(axes: tuple[ir.Axis, ...], roots: Iterable[ir.Expr], ranges: Ranges) -> bool:
    """Whether all that the points of ``axes`` ask of others are such counts, of blocks that a tile holds."""
    every = [e for e in ir.near(*roots) if isinstance(e, ir.Across)]
    found = [tally(e, ranges) for e in every if frame(ir.axis_of(e)) == axes]
    held = all(t is not None and t.points & (t.points - 1) == 0 for t in found)
    return len(axes) > 1 and bool(found) and held
