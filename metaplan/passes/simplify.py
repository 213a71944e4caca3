"""Fold constants and drop what changes nothing. Every rule holds for all integers, or says its guard."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metaplan import ir
from metaplan.interp import apply
from metaplan.ir import Const, DType, Op
from metaplan.passes.carried import unfolded
from metaplan.passes.lazy import conjuncts
from metaplan.passes.place import index
from metaplan.passes.rewrite import Rewriter
from metaplan.ranges import Facts, Ranges
from metaplan.sums import collapsed


def simplify(plan: ir.Plan) -> ir.Plan:
    made = Rewriter(Simplify(Ranges()).rule).plan(plan)
    made = replace(made, outputs=tuple(map(_filled, made.outputs)))
    # what cannot fail is counted by nobody
    checks = (c for c in made.checks if c.bad != Const(0, DType.BOOL))
    return replace(made, checks=tuple(checks))


def _filled(o: ir.Output) -> ir.Output:
    """``o``, whose tail is nothing where every cell is a live point's."""
    if o.axis is None or o.put is not None or o.fences or not ir.complete(o.axis):
        return o
    return replace(o, tail=ir.Keep()) if isinstance(o.tail, ir.Fill) else o


def _limited(e: ir.Expr) -> bool:
    return any(isinstance(x, ir.Bin) and x.op in (Op.MIN, Op.MAX) for x in ir.near(e))


class _Here(Rewriter):
    """Rewrites the operators of a point: what holds there says nothing of other points, nor of an axis.

    A read inside an index happens also where the outer guard is false, and keeps its own.
    """

    def axis(self, a: ir.Axis) -> ir.Axis:
        return a

    def _expr(self, e: ir.Expr) -> ir.Expr:
        plain = ir.Bin | ir.Not | ir.Where | ir.Cast | ir.Choice
        return super()._expr(e) if isinstance(e, plain) else e


def stored_at(axis: ir.Axis, ranges: Ranges) -> ir.Expr:
    """Where a point of ``axis`` is stored, as it is written after the passes."""
    return Rewriter(Simplify(ranges).rule).expr(index(axis))


class Simplify:
    """The rules; ``ranges`` decides those that need a bound, wherever ``given`` holds."""

    def __init__(self, ranges: Ranges, given: Facts = ()) -> None:
        self.ranges, self.given = ranges, given

    def rule(self, e: ir.Expr) -> ir.Expr | None:
        match e:
            case ir.Bin(op, Const() as a, Const() as b):
                return self._fold(e, op, a, b)
            case ir.Bin():
                return self._bin(e)
            # where(true, a, b) => a
            case ir.Where(Const(value), then, other):
                return then if value else other
            # where(c, a, a) => a
            case ir.Where(_, then, other) if then == other:
                return then
            # ~constant => constant
            case ir.Not(Const(value, dtype)):
                return Const(int(~np.asarray(value, dtype.value)), dtype, loc=e.loc)
            # ~~x => x
            case ir.Not(ir.Not(of)):
                return of
            # choose(i, v) => v[i]
            case ir.Choice(Const(value), values, dtype) if 0 <= value < len(values):
                return Const(values[value], dtype, loc=e.loc)
            case ir.RowScan() | ir.Sort() | ir.Fold():
                return self._along(e)
            # a constant is the same for all that ask
            case ir.Given(Const() as value):
                return value
            # cast of the dtype it has => x
            case ir.Cast(of, dtype) if ir.dtype_of(of) is dtype:
                return of
            case ir.Cast(Const(value), dtype):
                return Const(int(np.asarray(value).astype(dtype.value)), dtype, loc=e.loc)
            # a[i] if true => a[i]
            case ir.Load(source, index, Const(value)) if value:
                return ir.Load(source, index, loc=e.loc)
            # a[i] if false => other
            case ir.Load(source, _, Const(0), other):
                return Const(other, source.dtype, loc=e.loc)
            # a[min(i, n)] if i < n => a[i] if i < n
            case ir.Load(_, index, guard) if guard is not None and not self.given:
                return self._guarded(e, guard) if any(map(_limited, index)) else None
            # nothing to search between => where the search begins
            case ir.Bisect(lo, hi) if self.ranges.of(hi).hi <= self.ranges.of(lo).lo:
                return lo
            # sum over a ragged row of a constant => constant * length
            case ir.Reduce(ir.Monoid.SUM, Const(1, DType.I32), ir.Ragged(_, above, n), to) if (
                above == to
            ):
                return n
            # the points of an axis of its own width
            case ir.Size(ir.Dense(_, None, int(width))):
                return Const(width, loc=e.loc)
            # as many points as are live
            case ir.Reduce(ir.Monoid.SUM, Const(1, DType.I32), over, None):
                return ir.Size(over, loc=e.loc)
            case _:
                return None

    def _guarded(self, e: ir.Load, guard: ir.Expr) -> ir.Expr:
        inside = _Here(Simplify(self.ranges, self.ranges.facts(guard)).rule)
        return replace(e, index=tuple(map(inside.expr, e.index)))

    def _along(self, e: ir.RowScan | ir.Sort | ir.Fold) -> ir.Expr | None:
        match e:
            # a sum, an order, a fold of at most one point
            case ir.RowScan(of, over) if self.ranges.bound(over) == 1:
                return Const(0, ir.dtype_of(of), loc=e.loc)
            case ir.Sort(of, over) if self.ranges.bound(over) == 1:
                return of
            case ir.Fold(axis) if collapsed(axis):
                return unfolded(e)
            # sum of the same x so far => x * offset
            case ir.RowScan(of, over) if ir.axis_of(of) != over:
                place: ir.Expr = ir.Offset(over, loc=e.loc)
                if ir.dtype_of(of) is DType.I64:
                    place = ir.Cast(place, DType.I64, loc=e.loc)
                return ir.Bin(Op.MUL, of, place, loc=e.loc)
            # sort of the same x => x
            case ir.Sort(of, over) if ir.axis_of(of) != over:
                return of
            case _:
                return None

    def _fold(self, e: ir.Bin, op: Op, a: Const, b: Const) -> ir.Expr | None:
        if op in (Op.DIV, Op.MOD) and b.value <= 0:
            return None
        word = np.asarray(a.value, a.dtype.value), np.asarray(b.value, b.dtype.value)
        return Const(int(apply(op, *word)), ir.dtype_of(e), loc=e.loc)

    def _bin(self, e: ir.Bin) -> ir.Expr | None:
        match e:
            # x + 0 => x, x - 0 => x, 0 + x => x
            case ir.Bin(Op.ADD | Op.SUB, x, Const(0)) | ir.Bin(Op.ADD, Const(0), x):
                return x
            # (x + a) + b => x + (a + b), also with -   for a + b of their dtype
            case ir.Bin(
                Op.ADD | Op.SUB as outer, ir.Bin(Op.ADD | Op.SUB as op, x, Const(a)), Const(b)
            ):
                shift = (a if op is Op.ADD else -a) + (b if outer is Op.ADD else -b)
                if abs(shift) > ir.dtype_of(x).hi:
                    return None
                sign = Op.ADD if shift >= 0 else Op.SUB
                return ir.Bin(sign, x, Const(abs(shift), ir.dtype_of(x), loc=e.loc), loc=e.loc)
            # x * 1 => x, x // 1 => x
            case ir.Bin(Op.MUL | Op.DIV, x, Const(1)) | ir.Bin(Op.MUL, Const(1), x):
                return x
            # x * 0 => 0, x % 1 => 0
            case (
                ir.Bin(Op.MUL, _, Const(0))
                | ir.Bin(Op.MUL, Const(0), _)
                | ir.Bin(Op.MOD, _, Const(1))
            ):
                return Const(0, ir.dtype_of(e), loc=e.loc)
            # x & x => x, x | x => x, min(x, x) => x
            case ir.Bin(Op.AND | Op.OR | Op.MIN | Op.MAX, x, y) if x == y:
                return x
            # true & x => x
            case ir.Bin(Op.AND, Const(1, DType.BOOL), x) | ir.Bin(Op.AND, x, Const(1, DType.BOOL)):
                return x
            # false & x => false
            case ir.Bin(Op.AND, Const(0, DType.BOOL), _) | ir.Bin(Op.AND, _, Const(0, DType.BOOL)):
                return Const(0, DType.BOOL, loc=e.loc)
            # a & (a & b) => a & b
            case ir.Bin(Op.AND, x, y) if x in conjuncts(y) and ir.dtype_of(x) is DType.BOOL:
                return y
            case ir.Bin(Op.AND, x, y) if y in conjuncts(x) and ir.dtype_of(x) is DType.BOOL:
                return x
            # x - x => 0
            case ir.Bin(Op.SUB, x, y) if x == y:
                return Const(0, ir.dtype_of(e), loc=e.loc)
            case ir.Bin(Op.MIN | Op.MAX | Op.DIV | Op.MOD | Op.LT | Op.LE, x, y):
                return self._bounded(e, x, y)
            case _:
                return None

    def _bounded(self, e: ir.Bin, x: ir.Expr, y: ir.Expr) -> ir.Expr | None:
        a, b = self.ranges.of(x, self.given), self.ranges.of(y, self.given)
        match e.op:
            # min(x, y) => x   for x <= y everywhere, max alike
            case Op.MIN if a.hi <= b.lo:
                return x
            case Op.MIN if b.hi <= a.lo:
                return y
            case Op.MAX if a.lo >= b.hi:
                return x
            case Op.MAX if b.lo >= a.hi:
                return y
            # x // y => 0   for 0 <= x < y
            case Op.DIV if a.lo >= 0 and a.hi < b.lo:
                return Const(0, ir.dtype_of(e), loc=e.loc)
            # x % y => x   for 0 <= x < y
            case Op.MOD if a.lo >= 0 and a.hi < b.lo:
                return x
            # x < y => true or false, where the ranges decide
            case Op.LT if a.hi < b.lo or a.lo >= b.hi:
                return Const(int(a.hi < b.lo), DType.BOOL, loc=e.loc)
            case Op.LE if a.hi <= b.lo or a.lo > b.hi:
                return Const(int(a.hi <= b.lo), DType.BOOL, loc=e.loc)
            case _:
                return None
