"""``where`` reads only the side taken: its condition moves onto the loads of each side as a guard.

A load that the plan makes anyway, unconditionally, stays as it is, so that both share it; so does one
that stands on a coarser axis than the condition. Both only where the ranges prove it inside without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from metaplan import ir
from metaplan.ir import Op
from metaplan.passes.rewrite import Rewriter
from metaplan.ranges import Ranges


def lazy(plan: ir.Plan) -> ir.Plan:
    """Every load carries the condition under which it is read; so does an output's value."""
    push = _Push(plan, frozenset(_unconditional(plan)), Ranges())
    plan = replace(
        plan,
        outputs=tuple(push.output(o) for o in plan.outputs),
        updates=tuple(push.update(u) for u in plan.updates),
    )
    return Rewriter(push.rule).plan(plan)


def _unconditional(plan: ir.Plan) -> Iterator[ir.Load]:
    """The loads that happen whatever the data says."""
    stack = [e for o in plan.outputs if o.where is None for e in o.columns]
    stack += [v for o in plan.outputs if o.where is None for _, v in o.parts]
    stack += [o.where for o in plan.outputs if o.where is not None]
    stack += [u.where if u.where is not None else u.value for u in plan.updates]
    stack += [a.length for a in plan.axes if isinstance(a, ir.Ragged | ir.Part)]
    seen: set[ir.Expr] = set()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        if isinstance(e, ir.Load) and e.guard is None:
            yield e
        stack += [e.cond] if isinstance(e, ir.Where) else ir.children(e)


@dataclass(frozen=True, slots=True)
class _Push:
    plan: ir.Plan
    unconditional: frozenset[ir.Load]
    ranges: Ranges

    def output(self, o: ir.Output) -> ir.Output:
        if o.where is None:
            return o
        parts = tuple((p, self.guarded(v, o.where)) for p, v in o.parts)
        return replace(
            o, columns=tuple(self.guarded(c, o.where) for c in o.columns), parts=parts
        )

    def update(self, u: ir.Update) -> ir.Update:
        if u.where is None:
            return u
        index = tuple(self.guarded(i, u.where) for i in u.index)
        return replace(u, value=self.guarded(u.value, u.where), index=index)

    def rule(self, e: ir.Expr) -> ir.Expr | None:
        match e:
            # where(c, a[i], b[j]) => where(c, a[i] if c, b[j] if not c)
            case ir.Where(cond, then, other):
                yes = self.guarded(then, cond)
                no = self.guarded(other, ir.Not(cond, loc=cond.loc))
                return None if (yes, no) == (then, other) else replace(e, then=yes, other=no)
            case _:
                return None

    def guarded(self, e: ir.Expr, cond: ir.Expr) -> ir.Expr:
        """``e`` with ``cond`` on each load that needs it; scans and reductions stay whole."""
        match e:
            case ir.Scan() | ir.Reduce():
                return e
            case ir.Load(_, index, guard):
                if self._free(e, cond):
                    return e
                inner = tuple(self.guarded(i, cond) for i in index)
                if guard is None:
                    return replace(e, index=inner, guard=cond)
                if cond in conjuncts(guard):
                    return replace(e, index=inner) if inner != index else e
                return replace(e, index=inner, guard=ir.Bin(Op.AND, cond, guard, loc=e.loc))
            case _:
                return ir.rebuild(e, tuple(self.guarded(c, cond) for c in ir.children(e)))

    def _free(self, e: ir.Load, cond: ir.Expr) -> bool:
        coarser = len(ir.chain(ir.axis_of(e))) < len(ir.chain(ir.axis_of(cond)))
        if e.guard is not None or not (coarser or e in self.unconditional):
            return False
        return all(
            self.ranges.of(index).inside(0, self.plan.size(dim) - 1)
            for dim, index in zip(e.source.dims, e.index, strict=True)
        ) and all(self._free(x, cond) for i in e.index for x in ir.walk(i) if isinstance(x, ir.Load))


def conjuncts(e: ir.Expr) -> tuple[ir.Expr, ...]:
    """The conditions that ``&`` joins in ``e``, and ``e`` itself."""
    match e:
        case ir.Bin(Op.AND, a, b):
            return (e, *conjuncts(a), *conjuncts(b))
        case _:
            return (e,)
