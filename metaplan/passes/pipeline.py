"""The passes between a declaration and its schedule, in order; each leaves a plan that verifies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from metaplan import ir
from metaplan.passes.bind import bind
from metaplan.passes.check import check
from metaplan.passes.lazy import lazy
from metaplan.passes.place import place
from metaplan.passes.simplify import simplify
from metaplan.passes.unroll import unroll
from metaplan.verify import verify

Pass: TypeAlias = Callable[[ir.Plan], ir.Plan]

PIPELINE: tuple[Pass, ...] = (lazy, check, place, simplify)


def stages(
    plan: ir.Plan, sizes: Mapping[str, int], unrolled: Iterable[ir.Which] = ()
) -> Iterator[tuple[str, ir.Plan]]:
    """The plan after each pass, by the name of the pass; the copies ``unrolled`` are written out."""
    plan = bind(plan, sizes)
    verify(plan)
    yield "bind", plan
    if plan.copies:
        plan = unroll(plan, unrolled)
        verify(plan)
        yield "unroll", plan
    for run in PIPELINE:
        plan = run(plan)
        verify(plan)
        yield run.__name__, plan
