"""One store: to an element of its own, or combined with what others bring to the same element."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import Combine, Monoid
from metaplan.lower.emit import Tile, joined
from metaplan.program import Atomic, Let, Stmt, Store
from metaplan.writes import Write

ATOMIC = frozenset({Combine.ADD, Combine.MAX, Combine.MIN, Combine.OR})
"""How several points share an element in no order."""
REDUCED = {Combine.ADD: Monoid.SUM, Combine.MAX: Monoid.MAX, Combine.MIN: Monoid.MIN}
"""How the points of a tile are combined first, where they all name the same element."""


def stored(tile: Tile, w: Write, pointer: str, mask: str) -> list[Stmt]:
    """``w`` at the points of ``tile`` where ``mask`` holds."""
    assert w.combine is not Combine.LAST, "the winners are chosen by a launch before"
    shapes = {level.shape: level for level in tile.levels if level.shape != "scalar"}
    named = tile.shapes(w.at if w.position is None else (w.position,))
    if w.combine in REDUCED and shapes:
        if not named:
            return _reduced(tile, w, pointer, mask, "")
        if named == {"column"} and "lanes" in shapes:
            return _reduced(tile, w, pointer, mask, ", 1, keep_dims=True")
    value = tile.plain(w.value)
    for shape, level in shapes.items():
        # Triton stores no tile through fewer pointers
        pointer += f" + tl.zeros_like({level.offset})" if shape not in named else ""
    if w.combine in ATOMIC:
        return [Atomic(w.combine.value, pointer, value, mask)]
    return [Store(pointer, value, mask)]


def _reduced(tile: Tile, w: Write, pointer: str, mask: str, along: str) -> list[Stmt]:
    """The points that name one element combined with each other first, and then once with it."""
    op, lanes, lines = REDUCED[w.combine], tile.levels[-1], list[Stmt]()

    def named(wish: str, value: str) -> str:
        if value.isidentifier():
            return value
        name = tile.shared.names.fresh(f"{w.buffer}_{wish}")
        lines.append(Let(name, value))
        return name

    # where all lanes of a dense row are live, nothing of them is in the mask
    inside = f"{lanes.offset} >= 0" if isinstance(lanes.axis, ir.Dense) else ""
    some = named("some", joined(mask, inside))
    nothing = op.identity(ir.dtype_of(w.value))
    every = f"tl.where({some}, {tile.typed(w.value)}, {nothing})"
    value = named("value", f"tl.{op.value}({every}{along})")
    any_ = named("any", f"tl.max({some}.to(tl.int32){along}) > 0")
    return [*lines, Atomic(w.combine.value, pointer, value, any_)]
