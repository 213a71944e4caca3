"""Which copies of a plan are written out one by one, and which share their lines: the choice and its reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from metaplan import ir
from metaplan.copies import mentioned, of_output
from metaplan.ir import Op
from metaplan.passes.cut import Stages
from metaplan.schedule import LIMITS, Limits, Schedule


def unrolled(plan: ir.Plan, limits: Limits = LIMITS) -> dict[ir.Which, str]:
    """The copies that a declared plan asks to have written out, and why."""
    chosen: dict[ir.Which, str] = {}
    divided = mentioned(_divisors(plan))
    for which in plan.copies:
        if which.count == 1:
            chosen[which] = "there is one"
        elif plan.updates:
            chosen[which] = "state is updated in place, in an order that one program keeps"
        elif which in divided and which.count <= limits.unroll:
            chosen[which] = "a divisor depends on it, and is a constant in each"
    return chosen


def held_between(stages: Stages, schedules: Iterable[Schedule]) -> dict[ir.Which, str]:
    """The copies of which a launch keeps values for a later one: each has a buffer of its own."""
    kept = [o for p in stages.plans for o in p.outputs if o.name in stages.kept]
    which = {w for o in kept for w in of_output(o)}
    sums = mentioned(p.scan.of for s in schedules for p in s.partials)
    sums |= mentioned((), (p.scan.over for s in schedules for p in s.partials))
    return dict.fromkeys([*which, *sums], "a launch keeps its values for a later one")


def reasons(plan: ir.Plan, chosen: Mapping[ir.Which, str]) -> tuple[tuple[str, str], ...]:
    """For people: how the copies of a plan are made."""
    return tuple(
        (w.name, f"{w.count} copies, written out: {chosen[w]}")
        if w in chosen
        else (
            w.name,
            f"{w.count} copies share their lines: a program's number says which is its own",
        )
        for w in plan.copies
    )


def _divisors(plan: ir.Plan) -> Iterable[ir.Expr]:
    every = list(ir.exprs(plan))
    for e in ir.walk(*every):
        if isinstance(e, ir.Bin) and e.op in (Op.DIV, Op.MOD):
            yield e.rhs
