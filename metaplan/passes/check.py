"""Proofs: an index, a word or a capacity that may fail is refused, or masked and counted."""

from __future__ import annotations

from dataclasses import replace

from metaplan import catalogue, ir
from metaplan.ir import DType, Op
from metaplan.passes.apart import Apart
from metaplan.passes.carried import seen
from metaplan.passes.lazy import conjuncts
from metaplan.passes.rewrite import Rewriter
from metaplan.points import overfull
from metaplan.ranges import Facts

_I32 = DType.I32
SORTED = 1024
"""Points of the longest row that is sorted: it lies in one tile."""


def check(plan: ir.Plan) -> ir.Plan:
    """``plan`` in which nothing can go wrong unseen.

    What the ranges prove stays as it is. What only the data decides (an index read from memory, a
    promise of ``expect``, more points than a capacity) is masked and counted by a Check. The rest is
    refused with the user's line.
    """
    proof = _Proof(plan)
    used = _used(plan)
    made = Rewriter(proof.rule).plan(replace(plan, axes=used))
    # What nobody stores is proved like the rest, and counted by nobody.
    idle = Rewriter(_Proof(plan).rule).plan(plan).axes
    axes = dict(zip(plan.axes, idle, strict=True)) | dict(zip(used, made.axes, strict=True))
    made = replace(made, axes=tuple(axes[a] for a in plan.axes))
    proof.capacities(made)
    updates = tuple(proof.target(u) for u in made.updates)
    outputs = tuple(proof.put(proof.tail(o)) for o in made.outputs)
    return replace(
        made, outputs=outputs, updates=updates, checks=(*made.checks, *proof.checks.values())
    )


def _used(plan: ir.Plan) -> tuple[ir.Axis, ...]:
    """The axes that an output or an update stands on or mentions, in the order of the plan."""
    found: set[ir.Axis] = set()

    def visit(axis: ir.Axis | None) -> None:
        if axis is None or axis in found:
            return
        found.add(axis)
        visit(ir.parent(axis))
        if isinstance(axis, ir.Part):
            visit(axis.whole)
            look(axis.before)
        if isinstance(axis, ir.Ragged | ir.Part):
            look(axis.length)

    def look(*exprs: ir.Expr) -> None:
        for e in ir.walk(*exprs):
            for axis in ir.axes_in(e):
                visit(axis)

    for o in (*plan.outputs, *plan.updates):
        visit(o.axis)
    for o in plan.outputs:
        visit(o.source)
    for o in plan.outputs:
        for part, _ in o.parts:
            visit(part)
    look(*ir.exprs(replace(plan, axes=())))
    return tuple(a for a in plan.axes if a in found)


class _Proof:
    def __init__(self, plan: ir.Plan) -> None:
        self.plan, self.ranges = plan, Apart(plan.copies)
        self.checks: dict[tuple[ir.Axis | None, ir.Expr], ir.Check] = {}

    def rule(self, e: ir.Expr) -> ir.Expr | None:
        match e:
            case ir.Load():
                return self._load(e)
            case ir.Expect(of, lo, hi):
                return self._expect(e, of, lo, hi)
            case ir.Bin(Op.DIV | Op.MOD, _, by):
                span = self.ranges.of(by)
                if span.lo <= 0:
                    raise catalogue.divisor_not_positive(str(span), e.loc)
            case ir.Bin(Op.SHL | Op.SHR, a, by):
                span = self.ranges.of(by)
                if not span.inside(0, 8 * ir.dtype_of(a).bytes - 1):
                    raise catalogue.shift_out_of_range(str(span), e.loc)
            case ir.Choice(of, values):
                span = self.ranges.of(of)
                if not span.inside(0, len(values) - 1):
                    raise catalogue.choice_outside(str(span), len(values), e.loc)
            case ir.Sort(_, over):
                bound, row = self.ranges.bound(over), ir.parent(over) is not None
                if bound > SORTED:
                    raise catalogue.row_too_long(over.name, bound, SORTED, row, e.loc)
            case ir.Fold():
                self._close(e)
            # a promise that is kept by now: nothing is left to compute
            case ir.Distinct(of):
                return of
            case _:
                pass
        self._fits(e)
        return None

    def _fits(self, e: ir.Expr) -> None:
        dtype = ir.dtype_of(e)
        counted = ir.Bin | ir.Scan | ir.Reduce | ir.Cast | ir.RowScan | ir.Across
        if dtype not in (DType.I32, DType.U16, DType.U8) or not isinstance(e, counted):
            return
        if isinstance(e, ir.Cast) and (e.wraps or dtype is DType.U8):
            return
        of = e.of if isinstance(e, ir.Cast) else e
        given = self.ranges.facts(_context(of))
        span = self.ranges.of(of, given)
        if isinstance(e, ir.Bin) and e.op in (Op.AND, Op.OR, Op.XOR, Op.SHR):
            return
        if not span.inside(dtype.lo, dtype.hi):
            raise catalogue.may_overflow(dtype.value, span.lo, span.hi, e.loc)

    def _close(self, fold: ir.Fold) -> None:
        """What can fail in a step is counted at the points of its axis, by what is carried to them."""
        for key, check in list(self.checks.items()):
            bad = seen(fold, check.bad)
            if bad != check.bad:
                del self.checks[key]
                self._count(fold.axis, bad, check.message, check.loc)

    def _count(self, axis: ir.Axis | None, bad: ir.Expr, message: str, loc: ir.Loc) -> None:
        if ir.tried(bad):
            raise catalogue.trial_unproved(loc)
        if any(isinstance(e, ir.Cell) for e in ir.walk(bad)):
            raise catalogue.cell_unproved(loc)
        if ir.asked(bad):
            raise catalogue.given_unproved(loc)
        self.checks.setdefault((axis, bad), ir.Check(axis, bad, message, loc=loc))

    def _expect(self, e: ir.Expect, of: ir.Expr, lo: int, hi: int) -> ir.Expr | None:
        span = self.ranges.of(of)
        dtype = ir.dtype_of(of)
        bad: ir.Expr | None = None
        kept = of
        if span.lo < lo:
            floor = ir.Const(lo, dtype, loc=e.loc)
            bad = ir.Bin(Op.LT, of, floor, loc=e.loc.unnamed())
            kept = ir.Bin(Op.MAX, kept, floor, loc=e.loc)
        if span.hi > hi:
            ceiling = ir.Const(hi, dtype, loc=e.loc)
            above = ir.Bin(Op.LT, ceiling, of, loc=e.loc.unnamed())
            bad = above if bad is None else ir.Bin(Op.OR, bad, above, loc=e.loc.unnamed())
            kept = ir.Bin(Op.MIN, kept, ceiling, loc=e.loc)
        if bad is not None:
            self._count(ir.axis_of(of), bad, f"outside [{lo}, {hi}]", e.loc)
        return kept

    def _load(self, e: ir.Load) -> ir.Expr | None:
        given, quiet = self.ranges.facts(e.guard), e.loc.unnamed()
        # a guard that contradicts the ranges proves nothing, and holds nowhere
        tested = conjuncts(e.guard) if e.guard is not None else ()
        inside: ir.Expr | None = None
        for at, index in enumerate(e.index):
            bound = self._bound(e.source, at, index, given, e.loc)
            if bound is not None and bound not in tested:
                inside = bound if inside is None else ir.Bin(Op.AND, inside, bound, loc=quiet)
        if inside is None:
            return None
        outside: ir.Expr = ir.Not(inside, loc=quiet)
        if e.guard is not None:
            outside = ir.Bin(Op.AND, e.guard, outside, loc=quiet)
            inside = ir.Bin(Op.AND, e.guard, inside, loc=quiet)
        self._count(ir.axis_of(outside), outside, f"index outside {e.source.name}", e.loc)
        return replace(e, guard=inside)

    def _bound(
        self,
        source: ir.Input,
        at: int,
        index: ir.Expr,
        given: Facts,
        loc: ir.Loc,
    ) -> ir.Expr | None:
        """The condition that keeps one index inside, or None where it is proved."""
        size = self.plan.extents(source)[at]
        return self._within(source.name, at, size, index, given, loc)

    def _within(
        self,
        name: str,
        at: int,
        size: int,
        index: ir.Expr,
        given: Facts,
        loc: ir.Loc,
        *,
        stored: bool = False,
    ) -> ir.Expr | None:
        span = self.ranges.of(index, given)
        if span.inside(0, size - 1):
            return None
        if span.hi < 0 or span.lo >= size:
            raise catalogue.never_in_bounds(name, at, span.lo, span.hi, size, loc)
        if not any(isinstance(x, ir.Load) for x in _with_lengths(index)):
            raise catalogue.out_of_bounds(name, at, span.lo, span.hi, size, loc, stored=stored)
        dtype, loc = ir.dtype_of(index), loc.unnamed()
        tests: list[ir.Expr] = []
        if span.lo < 0:
            tests.append(ir.Bin(Op.LE, ir.Const(0, dtype, loc=loc), index, loc=loc))
        if span.hi >= size:
            tests.append(ir.Bin(Op.LT, index, ir.Const(size, dtype, loc=loc), loc=loc))
        return tests[0] if len(tests) == 1 else ir.Bin(Op.AND, *tests, loc=loc)

    def capacities(self, plan: ir.Plan) -> None:
        """A ragged axis whose rows could need more points than its buffers have, or than those that ask go through."""
        roomy = _roomy(plan)
        for axis in plan.axes:
            if not isinstance(axis, ir.Ragged) or axis not in roomy:
                continue
            assert axis.capacity is not None
            if self.ranges.capacity(axis.parent) * self.ranges.bound(axis) > axis.capacity:
                index = ir.Index(axis, loc=axis.loc)
                room = ir.Const(axis.capacity, loc=axis.loc)
                bad = ir.Bin(Op.LE, room, index, loc=axis.loc)
                self._count(axis, bad, overfull(axis), axis.loc)

    def tail(self, o: ir.Output) -> ir.Output:
        """``o`` with a tail whose end can be counted in int32: no further than its buffer goes."""
        if not isinstance(o.tail, ir.Fill) or o.tail.until is None or o.axis is None:
            return o
        rows, each = self.ranges.capacity(o.axis), max(len(o.columns), 1)
        if isinstance(o.axis, ir.Dense) and o.axis.parent is not None and not o.fences:
            width = self.ranges.bound(o.axis)
            rows, each = rows // width, each * width
        until, loc = o.tail.until, o.tail.until.loc
        span = self.ranges.of(until)
        if span.lo * each >= _I32.lo and span.hi * each + o.fences <= _I32.hi:
            return o
        until = ir.Bin(Op.MAX, until, ir.Const(0, loc=loc), loc=loc)
        until = ir.Bin(Op.MIN, until, ir.Const(rows, loc=loc), loc=loc)
        return replace(o, tail=replace(o.tail, until=until))

    def put(self, o: ir.Output) -> ir.Output:
        """``o`` whose values go nowhere outside its buffer."""
        if o.put is None:
            return o
        given = self.ranges.facts(o.where)
        where, quiet = o.where, o.loc.unnamed()
        extents = ir.put_extents(self.plan, o)
        for at, (index, size) in enumerate(zip(o.put.index, extents, strict=True)):
            inside = self._within(o.name, at, size, index, given, o.loc, stored=True)
            if inside is None:
                continue
            outside: ir.Expr = ir.Not(inside, loc=quiet)
            if o.where is not None:
                outside = ir.Bin(Op.AND, o.where, outside, loc=quiet)
            self._count(o.put.axis, outside, f"place outside {o.name}", o.loc)
            where = inside if where is None else ir.Bin(Op.AND, where, inside, loc=quiet)
        return replace(o, where=where)

    def target(self, u: ir.Update) -> ir.Update:
        """``u`` where the element that it updates exists."""
        given = self.ranges.facts(u.where)
        where = u.where
        extents = self.plan.extents(u.target)
        for at, (index, size) in enumerate(zip(u.index, extents, strict=True)):
            inside = self._within(u.target.name, at, size, index, given, u.loc, stored=True)
            if inside is None:
                continue
            outside: ir.Expr = ir.Not(inside, loc=u.loc.unnamed())
            if u.where is not None:
                outside = ir.Bin(Op.AND, u.where, outside, loc=u.loc.unnamed())
            self._count(u.axis, outside, f"index outside {u.target.name}", u.loc)
            where = inside if where is None else ir.Bin(Op.AND, where, inside, loc=u.loc.unnamed())
        return replace(u, where=where)


def _context(e: ir.Expr) -> ir.Expr | None:
    """The condition that every load inside ``e`` shares: outside it its value is not used."""
    guards = {x.guard for x in ir.walk(e) if isinstance(x, ir.Load) and x.guard is not None}
    return guards.pop() if len(guards) == 1 else None


def _with_lengths(e: ir.Expr) -> list[ir.Expr]:
    """``e``, and what the axes that it stands on are made of: an offset is as long as its row."""
    out: list[ir.Expr] = []
    for x in ir.walk(e):
        out.append(x)
        for axis in ir.axes_in(x):
            for a in ir.chain(axis):
                if isinstance(a, ir.Ragged | ir.Part):
                    out.extend(ir.walk(a.length))
    return out


def _roomy(plan: ir.Plan) -> set[ir.Axis]:
    """The axes that must hold all their points: those stored, those that other points ask, and all above them."""
    found = {a for o in plan.outputs if o.put is None for a in ir.chain(o.axis)}
    for e in ir.walk(*ir.exprs(plan)):
        if isinstance(e, ir.Across | ir.At):
            found.update(ir.chain(e.over if isinstance(e, ir.Across) else e.axis))
    return found
