"""The interval of every expression, proved from declared ranges, capacities and guards."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

from metaplan import ir
from metaplan.ir import DType, Monoid, Op
from metaplan.linear import Linear, compared, conditions, linear
from metaplan.nodes import NARROW

Facts: TypeAlias = "tuple[Linear, ...]"
_DEPTH = 4
_FACTS = 4
"""Conditions around an expression that its interval is proved from: the innermost."""
_SIDES = 4
"""Sets of conditions under which an interval is proved anew; beyond, from none of them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The integers from ``lo`` to ``hi``, both included."""

    lo: int
    hi: int

    def __or__(self, other: Interval) -> Interval:
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def inside(self, lo: int, hi: int) -> bool:
        return lo <= self.lo and self.hi <= hi

    def __str__(self) -> str:
        return f"[{self.lo}, {self.hi}]"


UNKNOWN = Interval(DType.I64.lo, DType.I64.hi)


def _wrapped(e: ir.Expr, span: Interval) -> Interval:
    """``span`` as the interval of ``e``: what may leave int64 wraps, and is any number."""
    inside = span.inside(UNKNOWN.lo, UNKNOWN.hi)
    return UNKNOWN if not inside and ir.dtype_of(e) is DType.I64 else span


def _corners(a: Interval, b: Interval) -> Interval:
    products = [x * y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Interval(min(products), max(products))


def _ones(n: int) -> int:
    return (1 << n.bit_length()) - 1


def _rounded_up(over: ir.Expr, by: ir.Expr) -> ir.Expr | None:
    """``a`` where ``over // by`` is ``a / by`` rounded up."""
    match over:
        # (a + (b - 1)) // b
        case ir.Bin(Op.ADD, a, ir.Bin(Op.SUB, b, ir.Const(1))) if b == by:
            return a
        case _:
            return None


@dataclass(slots=True)
class Ranges:
    """Bounds for one plan; remembers what it has proved."""

    _known: dict[tuple[ir.Expr, Facts], Interval] = field(
        default_factory=dict[tuple[ir.Expr, Facts], Interval]
    )
    _sides: Counter[ir.Expr] = field(default_factory=Counter[ir.Expr])

    # ------------------------------------------------------ expressions

    def of(self, e: ir.Expr, given: Facts = ()) -> Interval:
        """The interval of ``e`` wherever ``given`` holds."""
        key = (e, given)
        if key not in self._known:
            # what several sides of several conditions share would be proved once for each way to it
            if given and self._sides[e] >= _SIDES:
                return self.of(e)
            self._sides[e] += 1
            plain = self._atom(e, given)
            form = linear(e)
            lo = self.lower(form, given)
            hi = -self.lower(form.scaled(-1), given)
            lo, hi = max(lo, plain.lo), min(hi, plain.hi)
            self._known[key] = _wrapped(e, Interval(lo, hi) if lo <= hi else plain)
        return self._known[key]

    def facts(self, cond: ir.Expr | None, holds: bool = True, given: Facts = ()) -> Facts:
        """What ``cond`` says where ``given`` holds, as linear forms that are 0 or more; None says nothing.

        A sum that may leave int64 says nothing: compared is what it wraps to.
        """
        found: dict[Linear, None] = {}
        for test, true in conditions(cond, holds) if cond is not None else ():
            known = (*given, *found)[-_FACTS:]
            if not (self._wraps(test.lhs, known) or self._wraps(test.rhs, known)):
                found |= dict.fromkeys(compared(test, true))
        return tuple(found)

    def under(self, given: Facts, cond: ir.Expr, holds: bool) -> Facts:
        """The innermost of the conditions ``given``, and of ``cond`` inside them."""
        return (given + self.facts(cond, holds, given))[-_FACTS:]

    def lower(self, form: Linear, given: Facts = (), depth: int = _DEPTH) -> int:
        """The best lower bound of a linear form that a few substitutions find."""
        best = form.const
        for atom, k in form.terms:
            span = _wrapped(atom, self._atom(atom, given))
            best += k * (span.lo if k > 0 else span.hi)
        if depth == 0 or not form.terms:
            return best
        for fact in given:
            rest = tuple(f for f in given if f is not fact)
            for times in form.shared(fact):
                best = max(best, self.lower(form - fact.scaled(times), rest, depth - 1))
        for atom, k in form.terms:
            best = max(best, self._substituted(form, atom, k, given, depth - 1))
        return best

    def _substituted(self, form: Linear, atom: ir.Expr, k: int, given: Facts, depth: int) -> int:
        def put(e: Linear) -> int:
            return self.lower(form.replaced(atom, e), given, depth)

        none = DType.I64.lo * 4
        if any(self._wraps(c, given) for c in ir.children(atom)):
            return none
        match atom:
            # min(a, b) <= a and <= b
            case ir.Bin(Op.MIN, a, b) if k < 0:
                return max(put(linear(a)), put(linear(b)))
            case ir.Bin(Op.MIN, a, b):
                return min(put(linear(a)), put(linear(b)))
            # max(a, b) >= a and >= b
            case ir.Bin(Op.MAX, a, b) if k > 0:
                return max(put(linear(a)), put(linear(b)))
            case ir.Bin(Op.MAX, a, b):
                return min(put(linear(a)), put(linear(b)))
            # offset <= length - 1
            case ir.Offset(ir.Ragged(_, _, length) | ir.Part(_, _, _, length)) if k < 0:
                return put(linear(length) + Linear(-1))
            # the side taken
            case ir.Where(_, a, b):
                return min(put(linear(a)), put(linear(b)))
            # (x // c) * c <= x and > x - c
            case ir.Bin(Op.DIV, a, ir.Const(c)) if c > 0 and k % c == 0:
                shift = Linear(0) if k < 0 else Linear(1 - c)
                inner = (linear(a) + shift).scaled(k // c)
                return self.lower(form + Linear(0, ((atom, -k),)) + inner, given, depth)
            # x % c <= x for x >= 0
            case ir.Bin(Op.MOD, a, ir.Const(c)) if k < 0 and self.of(a, given).lo >= 0:
                return put(linear(a))
            case _:
                return none

    def _wraps(self, e: ir.Expr, given: Facts) -> bool:
        """Whether ``e`` may be another number than its linear form."""
        made = ir.dtype_of(e) is DType.I64 and linear(e) != Linear(0, ((e, 1),))
        return made and self.of(e, given) == UNKNOWN

    def _atom(self, e: ir.Expr, given: Facts) -> Interval:
        match e:
            case ir.Const(value):
                return Interval(value, value)
            case ir.Size(ir.Dense(_, None, int(width))):
                return Interval(width, width)
            case ir.Size(axis):
                return Interval(0, self.points(axis))
            case ir.Offset(axis):
                return Interval(0, max(self.bound(axis) - 1, 0))
            case ir.Index(axis):
                return Interval(0, max(self.points(axis) - 1, 0))
            case ir.Cell(last):
                return Interval(0, last)
            case ir.Load(source, _, guard, other):
                lo = source.dtype.lo if source.lo is None else source.lo
                hi = source.dtype.hi if source.hi is None else source.hi
                span = Interval(lo, hi)
                return span if guard is None else span | Interval(other, other)
            case ir.Bin(op, a, b):
                return self._bin(op, a, b, given)
            case ir.Not(of):
                span = self.of(of, given)
                dtype = ir.dtype_of(of)
                if dtype is DType.BOOL:
                    return Interval(0, 1)
                # ~x == -1 - x; of an unsigned one the lower bits
                last = dtype.hi if dtype in NARROW else -1
                return Interval(last - span.hi, last - span.lo)
            case ir.Where(cond, then, other):
                yes, no = (self.under(given, cond, side) for side in (True, False))
                return self.of(then, yes) | self.of(other, no)
            case ir.Cast(of, dtype):
                span = self.of(of, given)
                if dtype is DType.BOOL:
                    return Interval(0, 1)
                return span if span.inside(dtype.lo, dtype.hi) else Interval(dtype.lo, dtype.hi)
            case ir.Expect(of, lo, hi):
                span = self.of(of, given)
                return Interval(min(max(span.lo, lo), hi), min(max(span.hi, lo), hi))
            case ir.Scan(of, over):
                return self._total(of, self.points(over))
            case ir.Reduce(op, of, over, to):
                return self._reduce(op, of, over, to)
            case ir.RowScan(of, over):
                return self._total(of, self.rows_below(over, ir.parent(over)))
            case ir.Across(op, of, over):
                return self._reduce(op, of, over, None)
            case ir.Given(of) | ir.Distinct(of):
                return self.of(of, given)
            case ir.Sort(of):
                return self.of(of)
            case ir.At(of, _, _, other):
                return self.of(of) | Interval(other, other)
            case ir.Choice(of, values):
                span = self.of(of, given)
                some = values[max(span.lo, 0) : max(span.hi, 0) + 1] or values
                return Interval(min(some), max(some))
            case ir.Which(_, count):
                return Interval(0, count - 1)
            # nothing is tried at the end, nor where there is nothing between
            case ir.Trial(_, lo, hi):
                return Interval(self.of(lo).lo, max(self.of(hi).hi - 1, self.of(lo).lo))
            case ir.Bisect(lo, hi):
                return Interval(self.of(lo).lo, max(self.of(hi).hi, self.of(lo).hi))
            case ir.Carry(_, _, lo, hi):
                return Interval(lo, hi)
            case ir.Fold(_, _, _, carries, at):
                return Interval(carries[at].lo, carries[at].hi)

    def _total(self, of: ir.Expr, points: int) -> Interval:
        span = self.of(of)
        return Interval(min(0, span.lo * points), max(0, span.hi * points))

    def _reduce(self, op: Monoid, of: ir.Expr, over: ir.Axis, to: ir.Axis | None) -> Interval:
        if op is Monoid.SUM:
            return self._total(of, self.rows_below(over, to))
        dtype = ir.dtype_of(of)
        empty = dtype.lo if op is Monoid.MAX else dtype.hi
        return self.of(of) | Interval(empty, empty)

    def rows_below(self, over: ir.Axis, to: ir.Axis | None) -> int:
        """How many points of ``over`` one row of ``to`` can have."""
        if to is None:
            return self.points(over)
        points = 1
        for axis in ir.chain(over)[len(ir.chain(to)) :]:
            points *= self.bound(axis)
        return min(points, self.points(over))

    def _bin(self, op: Op, lhs: ir.Expr, rhs: ir.Expr, given: Facts) -> Interval:
        a, b = self.of(lhs, given), self.of(rhs, given)
        match op:
            case Op.ADD:
                return Interval(a.lo + b.lo, a.hi + b.hi)
            case Op.SUB:
                return Interval(a.lo - b.hi, a.hi - b.lo)
            case Op.MUL:
                return _corners(a, b)
            case Op.DIV if b.lo > 0 and (of := _rounded_up(lhs, rhs)) is not None:
                a = self.of(of, given)
                ends = [-(-x // y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
                return Interval(min(ends), max(ends))
            case Op.DIV if b.lo > 0:
                ends = [x // y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
                return Interval(min(ends), max(ends))
            case Op.MOD if b.lo > 0:
                return a if a.lo >= 0 and a.hi < b.lo else Interval(0, b.hi - 1)
            case Op.MIN:
                return Interval(min(a.lo, b.lo), min(a.hi, b.hi))
            case Op.MAX:
                return Interval(max(a.lo, b.lo), max(a.hi, b.hi))
            case Op.LT | Op.LE | Op.EQ | Op.NE:
                return Interval(0, 1)
            case Op.AND if (low := self._low(lhs, rhs, given)) is not None:
                return low
            case Op.AND if a.lo >= 0 or b.lo >= 0:
                ends = [x.hi for x in (a, b) if x.lo >= 0]
                return Interval(0, min(ends))
            case Op.OR | Op.XOR if a.lo >= 0 and b.lo >= 0:
                return Interval(0, _ones(max(a.hi, b.hi)))
            case Op.SHL if b.lo >= 0 and b.hi < 64:
                return _corners(a, Interval(1 << b.lo, 1 << b.hi))
            case Op.SHR if b.lo >= 0 and b.hi < 64:
                ends = [x >> y for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
                return Interval(min(ends), max(ends))
            case _:
                dtype = ir.dtype_of(lhs)
                return Interval(dtype.lo, dtype.hi)

    def _low(self, of: ir.Expr, mask: ir.Expr, given: Facts) -> Interval | None:
        """The lower part of two numbers in one word, also where those words were sorted."""
        match of, mask:
            # ((a << k) | b) & m => b   for 0 <= b <= m < 2 ** k, m all ones
            case (
                ir.Bin(Op.OR, ir.Bin(Op.SHL, _, ir.Const(k)), part)
                | ir.Sort(ir.Bin(Op.OR, ir.Bin(Op.SHL, _, ir.Const(k)), part)),
                ir.Const(m),
            ) if m >= 0 and m == _ones(m) and m < 1 << k:
                span = self.of(part, given if not isinstance(of, ir.Sort) else ())
                return span if span.inside(0, m) else None
            case _:
                return None

    # ------------------------------------------------------------- axes

    def bound(self, axis: ir.Axis) -> int:
        """How many points one row of the parent can have; at least 1, so that nothing has no width."""
        match axis:
            case ir.Root(_, capacity):
                return UNKNOWN.hi if capacity is None else capacity
            case ir.Dense(_, _, width):
                return width if isinstance(width, int) else UNKNOWN.hi
            case ir.Ragged(_, _, length, most):
                known = [self.of(length).hi, *([] if most is None else [most])]
                return max(min(known), 1)
            case ir.Part(_, whole, _, length, most):
                known = [self.of(length).hi, *([] if most is None else [most])]
                return max(min(*known, self.bound(whole)), 1)

    def points(self, axis: ir.Axis) -> int:
        """How many points the axis can have in all, those beyond its capacity too."""
        match axis:
            case ir.Root() | ir.Dense(_, None):
                return self.bound(axis)
            case ir.Part(_, whole):
                return self.points(whole)
            case ir.Dense(_, above) | ir.Ragged(_, above):
                assert above is not None
                return min(self.points(above) * self.bound(axis), UNKNOWN.hi)

    def capacity(self, axis: ir.Axis) -> int:
        """How many points of the axis its buffers hold."""
        match axis:
            case ir.Root():
                return self.bound(axis)
            case ir.Ragged(_, _, _, _, capacity) if capacity is not None:
                return capacity
            case ir.Part(_, whole):
                return self.capacity(whole)
            case ir.Dense(_, None):
                return self.bound(axis)
            case ir.Dense(_, above) | ir.Ragged(_, above):
                assert above is not None
                return min(self.capacity(above) * self.bound(axis), UNKNOWN.hi)
