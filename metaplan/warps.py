"""How many warps a program has: a part of the schedule."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan import ir
from metaplan.limits import Limits
from metaplan.ranges import Ranges
from metaplan.works import Work


def num_warps(works: list[Work], ranges: Ranges, limits: Limits, alone: bool) -> int:
    """One where a single program goes along a fold: with more, they wait for each other at every point.

    Twice as many where each program goes along many points or a long row: a turn waits for its loads, and more warps
    have more of them in flight.
    Not where other launches go before: they count blocks of points, so that each asks its own block only.
    """
    folds = [w for w in works if w.sequence is not None and not w.rows]
    if folds:
        widest = _widest(folds, ranges)
        return 1 if widest <= limits.one_warp else limits.num_warps
    many = alone and _widest(works, ranges) >= limits.many
    lanes = [w.lanes for w in works if w.rows and not w.whole and w.lanes is not None]
    long = any(ranges.bound(axis) >= limits.many for axis in lanes)
    return 2 * limits.num_warps if many or long else limits.num_warps


def _widest(works: Iterable[Work], ranges: Ranges) -> int:
    """The most points that a point of ``works`` asks."""
    every = (e for w in works for e in ir.walk(*w.roots) if isinstance(e, ir.Across))
    return max((ranges.points(e.over) for e in every), default=1)
