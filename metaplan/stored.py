"""What is known of the points of an axis that its buffers hold: their places lie below its capacity."""

from __future__ import annotations

from dataclasses import replace

from metaplan import ir
from metaplan.passes.rewrite import Rewriter
from metaplan.passes.simplify import Simplify, stored_at
from metaplan.points import overfull
from metaplan.ranges import Ranges
from metaplan.works import Work

OTHERS = ir.Across | ir.Reduce | ir.RowScan | ir.Fold | ir.Sort | ir.Bisect
"""What asks other points, of which nothing is known here."""


def of_stored(w: Work, axis: ir.Axis, plan: ir.Plan, ranges: Ranges) -> Work | None:
    """``w`` where it runs for the points of ``axis`` that are stored alone; None where it must see the others too."""
    if ranges.points(axis) <= ranges.capacity(axis):
        return w
    elsewhere = [c.message for c in plan.checks if c not in [own for _, own in w.checks]]
    if overfull(axis) not in elsewhere:
        return None
    if any(isinstance(e, OTHERS) for e in ir.walk(*w.roots)):
        return None
    most = ir.Const(ranges.capacity(axis), loc=axis.loc)
    stored = ranges.facts(ir.Bin(ir.Op.LT, stored_at(axis, ranges), most, loc=axis.loc))
    tidy = Rewriter(Simplify(ranges, stored).rule)
    checks = ((n, replace(c, bad=tidy.expr(c.bad))) for n, c in w.checks)
    kept = tuple((n, c) for n, c in checks if c.bad != ir.Const(0, ir.DType.BOOL))
    return replace(w, writes=tuple(x.mapped(tidy.expr) for x in w.writes), checks=kept)
