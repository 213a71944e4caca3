"""Whether two points can name the same element: what a plan must show before it writes without order.

An index tells an axis apart if it differs between any two points that lie in the same rows above that axis, but in
different ones of the axis itself. A negative index names nothing: what comes of it is never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from metaplan import ir
from metaplan.ir import DType
from metaplan.linear import Linear, linear
from metaplan.ranges import Facts, Ranges
from metaplan.sums import collapsed

Told: TypeAlias = "set[ir.Axis]"
_NOTHING = 1 << 70
"""A constant beside which no sum can be shown to be negative."""


def distinct(
    index: tuple[ir.Expr, ...], axis: ir.Axis | None, where: ir.Expr | None = None
) -> bool:
    """Whether no two points of ``axis`` where ``where`` holds have the same ``index``."""
    needed = {a for a in ir.chain(axis) if not collapsed(a)}
    ranges = Ranges()
    proof = _Proof(ranges, ranges.facts(where))
    told: Told = set()
    for e in index:
        told |= proof.form(linear(e))
    return needed <= told


@dataclass(frozen=True, slots=True)
class _Proof:
    ranges: Ranges
    given: Facts

    def form(self, form: Linear) -> Told:
        """The axes that a sum tells apart, for points where it is not negative."""
        told = self._high_and_low(form)
        for term, times in form.terms:
            rest = form - Linear(0, ((term, times),))
            told |= self._beside(term, times, rest)
            told |= self._before(term, times, rest)
        return told

    def _beside(self, term: ir.Expr, times: int, rest: Linear) -> Told:
        """What ``term`` tells apart, where everything else is the same for points that differ in that."""
        told = self._atom(term)
        if not told:
            return told
        if self._repeats(term) and not self._hi(rest) < times:
            return set()
        highest = min(told, key=lambda a: len(ir.chain(a)))
        above = set(ir.chain(highest)[:-1])
        alike = all(set(ir.chain(ir.axis_of(t))) <= above for t, _ in rest.terms)
        return told if alike else set()

    def _atom(self, e: ir.Expr) -> Told:
        match e:
            case ir.Cast(of, DType.I32 | DType.I64, wraps=False) | ir.Expect(of):
                return self._atom(of)
            case ir.Index(axis):
                return set(ir.chain(axis))
            case ir.Offset(axis):
                return {axis}
            case ir.Distinct(of, per):
                return set(ir.chain(ir.axis_of(of))) - set(ir.chain(per))
            case ir.Load(source, index) if source.distinct:
                lives = ir.axis_of(e)
                return set(ir.chain(lives)) if distinct(index, lives) else set()
            case _:
                return set()

    def _repeats(self, e: ir.Expr) -> bool:
        """Whether ``e`` may hold a negative number more than once."""
        match e:
            case ir.Cast(of):
                return self._repeats(of)
            case ir.Load() | ir.Expect():
                return self.ranges.of(e, self.given).lo < 0
            case _:
                return False

    def _before(self, term: ir.Expr, times: int, rest: Linear) -> Told:
        """A running sum of lengths, and a place in the stretch of that length that begins there."""
        match term:
            case ir.Scan(of, over) if abs(times) == 1:
                told = set(ir.chain(over))
            case ir.RowScan(of, over) if abs(times) == 1:
                told = {over}
            case _:
                return set()
        place = Linear(0, rest.scaled(times).terms)
        if self.ranges.of(of).lo < 0 and not _is_length(of, over, place):
            return set()
        for first in (0, 1):
            start, end = place + Linear(-first), linear(of) - place + Linear(first - 1)
            if min(self._lo(start), self._lo(end)) >= 0:
                return told | self.form(place + Linear(_NOTHING))
        return set()

    def _high_and_low(self, form: Linear) -> Told:
        """row * width + place: some terms count in steps that the others together never reach."""
        told: Told = set()
        for step in {abs(times) for _, times in form.terms}:
            high = Linear(0, tuple((t, k // step) for t, k in form.terms if k % step == 0))
            low = Linear(0, tuple((t, k) for t, k in form.terms if k % step))
            if not low.terms or self._hi(low) - self._lo(low) >= step:
                continue
            carried = (form.const + self._hi(low)) // step
            told |= self.form(high + Linear(carried)) | self.form(low + Linear(_NOTHING))
        return told

    def _lo(self, form: Linear) -> int:
        return self.ranges.lower(form, self.given)

    def _hi(self, form: Linear) -> int:
        return -self.ranges.lower(form.scaled(-1), self.given)


def _is_length(of: ir.Expr, over: ir.Axis, place: Linear) -> bool:
    """Whether ``of`` is how many points an axis has under each of ``over``: never negative."""
    axes = (t.axis for t, _ in place.terms if isinstance(t, ir.Offset))
    return any(isinstance(a, ir.Ragged) and a.length == of and a.parent == over for a in axes)
