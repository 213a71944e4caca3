"""Why a schedule is as it is, in words: what ``explain`` prints of it."""

from __future__ import annotations

from metaplan.limits import Limits
from metaplan.ranges import Ranges
from metaplan.works import Partial, Work


def of_work(w: Work, ranges: Ranges) -> str:
    """The rows and lanes of a program, and how many programs there are."""
    if not w.rows:
        where = "one cell" if w.lanes is None else f"rows of {w.lanes.name}, {w.tile} a program"
        if w.sequence is not None:
            where = f"the points of {w.sequence.name} one after the other"
        return f"{where}: {w.programs} programs"
    rows = " x ".join(f"{a.name} {n}" for a, n in zip(w.rows, w.widths(ranges), strict=True))
    lanes = "flattened" if w.lanes is None else f"{w.tile} lanes of {w.lanes.name}"
    if w.tallies and w.lanes is not None:
        lanes = f"its points counted by all {ranges.bound(w.lanes)} keys at once"
    if w.in_order:
        lanes = "then what lies below each"
    if w.sequence is not None:
        lanes = f"then their points of {w.sequence.name} one after the other"
    rows = f"the live points of {w.rows[-1].name}" if w.packed else f"rows {rows}"
    text = f"{rows}; {w.rows_per_program} a program, {lanes}"
    if w.splits > 1:
        text += f", {w.splits} programs share a long row"
    if w.in_order:
        text += "; state is updated in place, so a program owns its row"
    return f"{text}: {w.programs} programs"


def of_sums(partials: list[Partial], limits: Limits) -> str:
    """Who sums up what lies before a program's first row."""
    if not partials:
        most = limits.recompute
        return f"every program sums what lies before it by itself: at most {most} points"
    blocks = ", ".join(dict.fromkeys(f"{p.rows} rows of {p.scan.over.name}" for p in partials))
    return f"a first launch sums blocks of {blocks}: more than {limits.recompute} points"
