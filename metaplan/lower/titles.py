"""What a region does, in a line for its reader."""

from __future__ import annotations

from metaplan.works import Work


def titled(work: Work) -> str:
    """What is stored, and how many of which rows a program has."""
    names = list(dict.fromkeys(w.buffer for w in work.writes)) or ["the checks"]
    what = ", ".join(names)
    rows = " x ".join(a.name for a in work.rows)
    if not work.rows:
        where = "once" if work.lanes is None else f"{work.tile} rows of {work.lanes.name} a program"
    else:
        many = work.rows_per_program
        flat = work.axes == work.rows and not (work.in_order or work.reduces)
        each = f"{many} points" if flat else f"{many} rows" if many > 1 else "one row"
        where = f"{each} of {rows} a program"
        if work.lanes is not None:
            where += f", {work.lanes.name} in its lanes"
    if work.sequence is not None:
        where += f", {work.sequence.name} point by point"
    return f"{what}: {where}."
