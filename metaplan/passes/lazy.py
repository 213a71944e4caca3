"""``where`` reads only the side taken: its condition becomes the guard of the loads of each side.

What the plan computes anyway, unconditionally, is shared as it is; so is, under the conditions around a
``where``, what both of its sides need. So is a load on a coarser axis than the condition, if the ranges
prove it inside without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from metaplan import catalogue, ir
from metaplan.ir import Op
from metaplan.passes.rewrite import Rewriter
from metaplan.ranges import Ranges


def lazy(plan: ir.Plan) -> ir.Plan:
    """Every load carries the condition under which it is read; so does an output's value."""
    return _Lazy(plan).plan(plan)


SIDES = 64
"""Conditions under each of which one value is read: every one is a load of its own."""
_OF_ALL = (
    *(ir.Scan, ir.Reduce, ir.RowScan, ir.Across, ir.Sort, ir.Fold, ir.Bisect),
    *(ir.Given, ir.Trial, ir.Which),
)
"""Computed for all points of an axis, whoever asks; what is asked with or tried is the same on either side."""


class _Lazy(Rewriter):
    def __init__(self, plan: ir.Plan) -> None:
        super().__init__()
        self._plan, self._ranges = plan, Ranges()
        self._always = frozenset(_unconditional(plan))
        self._under: dict[tuple[ir.Expr, ir.Expr], ir.Expr] = {}
        self._ways: Counter[ir.Expr] = Counter()
        self._needs: dict[ir.Expr, frozenset[ir.Expr]] = {}
        self._around: dict[ir.Expr, list[tuple[ir.Expr | None, frozenset[ir.Expr]]]] = {}
        """For each condition: the one around it, and what is needed under that one whichever side is taken."""

    def _expr(self, e: ir.Expr) -> ir.Expr:
        match e:
            # where(c, a[i], b[j]) => where(c, a[i] if c, b[j] if not c)
            case ir.Where(cond):
                first = self.expr(cond)
                return self._sides(e, first, None, first, ir.Not(first, loc=cond.loc.unnamed()))
            case _:
                return super()._expr(e)

    def _output(self, o: ir.Output) -> ir.Output:
        made = super()._output(o)
        held = made.where
        if held is None:
            return made
        columns = tuple(self.under(c, held) for c in o.columns)
        if o.put is not None and made.put is not None:
            index = tuple(self.under(i, held) for i in o.put.index)
            made = replace(made, put=replace(made.put, index=index))
        pairs = zip(made.parts, o.parts, strict=True)
        parts = tuple((part, self.under(v, held)) for (part, _), (_, v) in pairs)
        return replace(made, columns=columns, parts=parts)

    def _update(self, u: ir.Update) -> ir.Update:
        made = super()._update(u)
        if made.where is None:
            return made
        index = tuple(self.under(i, made.where) for i in u.index)
        return replace(made, value=self.under(u.value, made.where), index=index)

    def under(self, e: ir.Expr, cond: ir.Expr) -> ir.Expr:
        """``e`` where only ``cond`` matters: each load that is not shared reads only there."""
        if not self._needed(e):
            return self.expr(e)
        for around, both in self._around.get(cond, ()):
            if e in both:
                return self.expr(e) if around is None else self.under(e, around)
        key = (e, cond)
        if key not in self._under:
            self._ways[e] += 1
            if self._ways[e] > SIDES:
                raise catalogue.too_many_sides(SIDES, e.loc)
            self._under[key] = self._guarded(e, cond)
        return self._under[key]

    def _sides(
        self, e: ir.Where, first: ir.Expr, around: ir.Expr | None, yes: ir.Expr, no: ir.Expr
    ) -> ir.Expr:
        """``e`` on the condition ``first``, each side under its own condition inside ``around``."""
        both = self._needed(e.then) & self._needed(e.other)
        for side in (yes, no):
            if both and side != around:
                self._around.setdefault(side, []).append((around, both))
        then, other = self.under(e.then, yes), self.under(e.other, no)
        return replace(e, cond=first, then=then, other=other)

    def _needed(self, e: ir.Expr) -> frozenset[ir.Expr]:
        """What ``e`` certainly computes of that which depends on the condition around it."""
        if e not in self._needs:
            self._needs[e] = self._certain(e)
        return self._needs[e]

    def _certain(self, e: ir.Expr) -> frozenset[ir.Expr]:
        if e in self._always or isinstance(e, _OF_ALL):
            return frozenset()
        match e:
            case ir.At(_, _, index):
                found = self._needed(index)
            case ir.Where(cond, then, other):
                found = self._needed(cond) | (self._needed(then) & self._needed(other))
                if self._needed(then) or self._needed(other):
                    found |= {e}
            case _:
                found = frozenset[ir.Expr]().union(*map(self._needed, ir.children(e)))
        return found | {e} if found or isinstance(e, ir.Load | ir.Expect) else found

    def _guarded(self, e: ir.Expr, cond: ir.Expr) -> ir.Expr:
        match e:
            case ir.At(of, _, index):
                moved = replace(e, of=self.expr(of), index=self.under(index, cond))
                return self._named_axes(moved)
            case ir.Where(choice):
                first = self.under(choice, cond)
                no = _both(cond, ir.Not(first, loc=choice.loc.unnamed()))
                return self._sides(e, first, cond, _both(cond, first), no)
            case ir.Load(_, index):
                if self._coarser(e, cond):
                    return self.expr(e)
                known = self._known(e, cond)
                if known is not None:
                    return known
                return replace(e, index=tuple(self.under(i, cond) for i in index), guard=cond)
            case ir.Expect(of, lo, hi) if not self._ranges.of(of).inside(lo, hi):
                # Nothing is promised on the side that is not taken.
                kept = ir.Const(min(max(lo, 0), hi), ir.dtype_of(of), loc=e.loc.unnamed())
                inner = self.under(of, cond)
                return replace(e, of=ir.Where(cond, inner, kept, loc=e.loc.unnamed()))
            case _:
                new = ir.rebuild(e, tuple(self.under(c, cond) for c in ir.children(e)))
                return self._named_axes(new)

    def _known(self, e: ir.Load, cond: ir.Expr) -> ir.Expr | None:
        """The same element as ``cond`` itself has read it, in front of all that it guards."""
        held = conjuncts(cond)
        for x in _here(cond):
            if x.source != e.source or (x.guard is not None and x.guard not in held):
                continue
            own = (self.expr(i) if x.guard is None else self.under(i, x.guard) for i in e.index)
            if x.index == tuple(own):
                return x
        return None

    def _coarser(self, e: ir.Load, cond: ir.Expr) -> bool:
        """On a coarser axis than ``cond``, and inside whatever it says."""
        if len(ir.chain(ir.axis_of(e))) >= len(ir.chain(ir.axis_of(cond))):
            return False
        return all(
            self._ranges.of(i).inside(0, extent - 1)
            for extent, i in zip(self._plan.extents(e.source), e.index, strict=True)
        )


def _here(e: ir.Expr) -> Iterator[ir.Load]:
    """The loads that a point makes for ``e`` itself."""
    elsewhere = ir.Scan | ir.Reduce | ir.RowScan | ir.Across | ir.Sort | ir.Fold | ir.Bisect | ir.At
    stack, seen = [e], set[ir.Expr]()
    while stack:
        x = stack.pop()
        if x in seen:
            continue
        seen.add(x)
        if isinstance(x, ir.Load):
            yield x
        if not isinstance(x, elsewhere):
            stack += reversed(ir.children(x))


def _both(a: ir.Expr, b: ir.Expr) -> ir.Expr:
    return a if b in conjuncts(a) else ir.Bin(Op.AND, a, b, loc=b.loc.unnamed())


def _unconditional(plan: ir.Plan) -> Iterator[ir.Expr]:
    """What is computed whatever the data says."""
    free = [o for o in plan.outputs if o.where is None]
    stack: list[ir.Expr] = [e for o in free for e in (*o.columns, *(v for _, v in o.parts))]
    stack += [i for o in free if o.put is not None for i in o.put.index]
    stack += [o.where for o in plan.outputs if o.where is not None]
    stack += [u.where if u.where is not None else u.value for u in plan.updates]
    stack += [a.length for a in plan.axes if isinstance(a, ir.Ragged | ir.Part)]
    seen: set[ir.Expr] = set()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        yield e
        stack += [e.cond] if isinstance(e, ir.Where) else ir.children(e)


def conjuncts(e: ir.Expr) -> tuple[ir.Expr, ...]:
    """The conditions that ``&`` joins in ``e``, and ``e`` itself, each once."""
    found: dict[ir.Expr, None] = {}
    stack = [e]
    while stack:
        part = stack.pop()
        if part in found:
            continue
        found[part] = None
        if isinstance(part, ir.Bin) and part.op is Op.AND:
            stack += [part.rhs, part.lhs]
    return tuple(found)
