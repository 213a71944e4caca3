"""How many warps a program has: a part of the schedule."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from metaplan import ir
from metaplan.limits import Limits
from metaplan.ranges import Ranges
from metaplan.sums import frame, sums
from metaplan.works import Work


def num_warps(works: list[Work], ranges: Ranges, limits: Limits, alone: bool) -> int:
    """One where a single program goes along a fold: with more, they wait for each other at every point. One, too,
    where no program has many points at a time: nothing then goes through shared memory.

    Twice as many where each program goes along many points or a long row: a turn waits for its loads, and more warps
    have more of them in flight.
    Not where other launches go before: they count blocks of points, so that each asks its own block only.
    """
    folds = [w for w in works if w.sequence is not None and not w.rows]
    if folds:
        widest = _widest(folds, ranges)
        return 1 if widest <= limits.one_warp else limits.num_warps
    if all(_at_once(w, ranges, limits) <= limits.narrow for w in works):
        return 1
    many = alone and _widest(works, ranges) >= limits.many
    lanes = [w.lanes for w in works if w.rows and not w.whole and w.lanes is not None]
    long = any(ranges.bound(axis) >= limits.many for axis in lanes)
    return 2 * limits.num_warps if many or long else limits.num_warps


def _at_once(w: Work, ranges: Ranges, limits: Limits) -> int:
    """The most points that a program of ``w`` computes, asks or sums up at a time."""
    inside = [frame(s.over) for s in sums(w.roots)]
    inside += [frame(e.over) for e in ir.walk(*w.roots) if isinstance(e, ir.Across | ir.Reduce)]
    inside += [w.axes] if w.in_order or w.sequence is not None else []
    beside = [min(prod(map(ranges.bound, axes)), limits.scan_tile) for axes in inside]
    below = [frame(x.axis)[-1:] for x in w.writes if len(frame(x.axis)) > len(w.rows)]
    lanes = [ranges.bound(axis) for axes in below for axis in axes] if w.in_order else [w.tile]
    return max(w.rows_per_program * max(lanes, default=1), *beside, 1)


def _widest(works: Iterable[Work], ranges: Ranges) -> int:
    """The most points that a point of ``works`` asks."""
    every = (e for w in works for e in ir.walk(*w.roots) if isinstance(e, ir.Across))
    return max((ranges.points(e.over) for e in every), default=1)
