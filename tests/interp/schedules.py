"""Other legal schedules of a plan: the results must not depend on which one is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from metaplan import ir
from metaplan.compiler import Built
from metaplan.lower.program import lower
from metaplan.ranges import Ranges
from metaplan.schedule import LIMITS, Schedule, Work, power
from metaplan.sums import frame


def each(change: Callable[[Work, Ranges], Work]) -> Callable[[Schedule], Schedule]:
    def changed(schedule: Schedule) -> Schedule:
        ranges = Ranges()
        return replace(schedule, works=tuple(change(w, ranges) for w in schedule.works))

    return changed


def _blocks(work: Work, ranges: Ranges) -> int:
    points = 1
    for width in work.widths(ranges):
        points *= width
    return -(-points // work.rows_per_program)


def rows(count: int) -> Callable[[Work, Ranges], Work]:
    """``count`` rows a program, and a program for every block of rows."""

    def change(w: Work, ranges: Ranges) -> Work:
        if not w.rows or w.in_order or w.tallies or _lanes_ask(w):
            return w
        made = replace(w, rows_per_program=count, splits=1)
        return replace(made, programs=_blocks(made, ranges))

    return change


def _lanes_ask(w: Work) -> bool:
    """Points of the lanes ask those of another axis: they stand as rows, and a program has one row of its own."""
    every = (e for e in ir.near(*w.roots) if isinstance(e, ir.Across))
    return w.lanes is not None and any(frame(ir.axis_of(e)) == w.axes for e in every)


def few(w: Work, ranges: Ranges) -> Work:
    """Three programs for all rows: each loops."""
    if not w.rows or w.programs < 4:
        return w
    return replace(w, splits=1, programs=3)


def narrow(w: Work, ranges: Ranges) -> Work:
    """Half as many lanes as a row needs, so that a program loops along it; two share a row."""
    if not w.rows or w.lanes is None or w.in_order or w.whole or w.tallies or _scans_lanes(w):
        return w
    bound = ranges.bound(w.lanes)
    tile = max(power(bound) // 2, 1)
    made = replace(w, tile=tile, rows_per_program=1, splits=1 + (bound > tile and not _sums(w)))
    return replace(made, programs=_blocks(made, ranges) * made.splits)


def _scans_lanes(w: Work) -> bool:
    """A running sum along the lanes, which needs them in one tile."""
    made = [e for write in w.writes for e in ir.walk(*write.roots())]
    return any(isinstance(e, ir.Scan) and ir.axis_of(e.of) == w.lanes for e in made)


def _sums(w: Work) -> bool:
    """A running sum along each row, which goes from tile to tile in one program."""
    return any(isinstance(e, ir.RowScan) for e in ir.walk(*w.roots))


def scans(tile: int) -> Callable[[Schedule], Schedule]:
    return lambda schedule: replace(schedule, scan_tile=tile)


def tails(schedule: Schedule) -> Schedule:
    """One program of two lanes fills all tails."""
    made = tuple(replace(t, tile=2, programs=1) for t in schedule.tails)
    return replace(schedule, tails=made)


CHANGES = {
    "one-row": each(rows(1)),
    "two-rows": each(rows(2)),
    "eight-rows": each(rows(8)),
    "few-programs": each(few),
    "narrow": each(narrow),
    "short-sums": scans(4),
    "one-by-one-sums": scans(1),
    "slow-tails": tails,
}

FEW = replace(LIMITS, recompute=2, block_rows=2, block_points=8, scan_tile=2, lanes=4, long=8, wide_lanes=2, short=2, summed=8,
              vector=4, askers=2, compared=4, counted=4, turns=2, packed=2, packed_lanes=4, packed_rows=2,
              folded=2)  # fmt: skip
"""Limits under which a few points are launched as thousands are."""


def forced(built: Built, change: Callable[[Schedule], Schedule]) -> Built:
    """``built`` with another legal schedule."""
    chosen = tuple(map(change, built.schedules))
    made = lower(chosen, built.stages.promises)
    own = built.program
    program = replace(made, dependent=own.dependent, linked=own.linked)
    return replace(built, schedules=chosen, program=program)
