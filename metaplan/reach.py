"""How far into each tensor of a list a plan reads."""

from __future__ import annotations

from itertools import product

from metaplan import ir
from metaplan.copies import mentioned
from metaplan.passes.unroll import at_copy
from metaplan.ranges import Ranges


def reach(plan: ir.Plan, source: ir.Input) -> tuple[tuple[int, ...], ...]:
    """The shape that each tensor of the list ``source`` has at least, for the reads of a placed plan."""
    count, *extents = plan.extents(source)
    needed = [[1] * len(extents) for _ in range(count)]
    ranges = Ranges()
    for e in ir.walk(*ir.exprs(plan)):
        if not isinstance(e, ir.Load) or e.source.name != source.name:
            continue
        number, *rest = e.index
        guard = () if e.guard is None else (e.guard,)
        own = [w for w in plan.copies if w in mentioned((*e.index, *guard))]
        for numbers in product(*(range(w.count) for w in own)):
            copy = at_copy(dict(zip(own, numbers, strict=True)))
            given = ranges.facts(copy.expr(e.guard) if e.guard is not None else None)
            chosen = ranges.of(copy.expr(number), given)
            ends = [ranges.of(copy.expr(i), given).hi + 1 for i in rest]
            for at in range(max(chosen.lo, 0), min(chosen.hi, count - 1) + 1):
                longer = zip(needed[at], ends, extents, strict=True)
                needed[at] = [max(n, min(end, extent)) for n, end, extent in longer]
    return tuple(map(tuple, needed))
