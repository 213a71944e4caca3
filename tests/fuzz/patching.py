"""Patches of a table: rows of new contents, of which no two overlap."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar
from tests.fuzz.terms import Given


def patched(g: Grammar) -> str:
    """Elements of a state that the next elements of an input replace."""
    axis = g.pick([a for a in g.axes if a.kind == "root"])
    dtype, most = g.pick(("i32", "i32", "i64", "u8", "bool")), g.whole(1, 4)
    cell = g.fresh("cell")
    g.sizes[cell] = axis.cap * most
    home = ["HOST"] if g.chance(0.5) else []
    rows = g.whole(axis.cap, axis.cap + 4)
    at = g.array("i32", (axis.name,), g.pick([0, -1]), rows - 1, *home, "DISTINCT", stem="at")
    lengths = g.array("i32", (axis.name,), 0, most, *home, stem="n")
    contents = g.array(dtype, (cell,), None, None, *home, stem="new")
    if g.chance(0.5):
        table, where = _table(g, dtype, (rows * most,)), f"starts={at.name} * {most}"
    else:
        width = g.whole(1, 9)
        starts = g.array("i32", (axis.name,), 0, width - 1, *home, stem="start")
        table, where = _table(g, dtype, (rows, width)), f"rows={at.name}, starts={starts.name}"
    return f"mp.patch({table.name}, {where}, lengths={lengths.name}, contents={contents.name})"


def _table(g: Grammar, dtype: str, extents: tuple[int, ...]) -> Given:
    names = tuple(g.fresh("room") for _ in extents)
    g.sizes.update(zip(names, extents, strict=True))
    return g.array(dtype, names, None, None, "STATE", stem="state")
