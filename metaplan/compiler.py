"""A declared plan and capacities to everything that was made of them: plan, program, source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from metaplan import codegen, ir, text, unrolling
from metaplan.exact import Exact
from metaplan.explain import as_json, as_text
from metaplan.lower.program import lower
from metaplan.passes.counting import Blocks
from metaplan.passes.cut import Stages, cut
from metaplan.passes.pipeline import stages as passed
from metaplan.program import Program
from metaplan.schedule import LIMITS, Limits, Schedule, distinct, schedule
from metaplan.target import Target


@dataclass(frozen=True)
class Built:
    """What ``compile`` made, before anything touches a device."""

    bound: ir.Plan
    placed: ir.Plan
    stages: Stages
    schedules: tuple[Schedule, ...]
    program: Program
    target: Target
    exact: frozenset[str]
    """The root axes that have their capacity of points at every step."""

    @cached_property
    def source(self) -> str:
        """The kernels as a Python module."""
        return codegen.render(self.program)

    @property
    def unrolled(self) -> tuple[ir.Which, ...]:
        """The copies that are written out one by one."""
        return tuple(w for w in self.bound.copies if w not in self.placed.copies)

    @property
    def plan_text(self) -> str:
        return text.plan(self.bound)

    @property
    def program_text(self) -> str:
        return codegen.listing(self.program)

    def explain(self) -> str:
        """Launches, grids, buffers with bytes, and the reason of each choice."""
        return as_text(self.program, self.placed, self.target)

    def explain_json(self) -> dict[str, object]:
        """The same for machines; ``launches`` is the number of launches."""
        return as_json(self.program, self.placed, self.target)


def build(
    plan: ir.Plan,
    sizes: Mapping[str, int],
    target: Target,
    limits: Limits = LIMITS,
    *,
    dependent: bool = False,
    linked: bool = False,
) -> Built:
    """Runs the passes, the schedule and the lowering; raises what the plan does not allow.

    ``dependent``, ``linked``: as in ``Program``, where the target has it.
    """
    unrolled = unrolling.unrolled(plan, limits)
    while True:
        made = list(passed(plan, sizes, unrolled))
        bound, placed = made[0][1], made[-1][1]
        stages = cut(placed, Blocks(limits.compared, limits.counted))
        chosen = distinct(schedule(p, target, limits, stages.kept) for p in stages.plans)
        more = unrolling.held_between(stages, chosen)
        if not more:
            break
        unrolled |= more
    why = unrolling.reasons(plan, unrolled)
    chosen = (*chosen[:-1], replace(chosen[-1], reasons=(*why, *chosen[-1].reasons)))
    program = lower(chosen, stages.promises)
    has = target.dependent
    program = replace(program, dependent=dependent and has, linked=linked and has)
    exact = frozenset(name for name, size in sizes.items() if isinstance(size, Exact))
    return Built(bound, placed, stages, chosen, program, target, exact)
