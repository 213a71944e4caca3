"""``patch``: the elements of a table that changed since the last step, as rows of new contents."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.lang import demands
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis, ragged
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Value, described, lift
from metaplan.lang.words import Change, update


def patch(
    table: Array, *, rows: Value | None = None, starts: Value, lengths: Value, contents: Array
) -> Change:
    """``table[row, start + j]`` becomes the next of ``contents``, for ``j`` below ``length``.

    ``rows``, ``starts`` and ``lengths`` are int32 on an axis of patches, which their dimension names; ``rows`` is
    left out for a table of one dimension. ``contents`` is an input of one dimension, packed: its dimension names the axis of the cells
    that change. No two patches of one row overlap: that is a promise.
    """
    loc = Loc.here()
    wanted = 1 if rows is None else 2
    if not isinstance(table, Array) or len(table.input.dims) != wanted:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise catalogue.patch_table(_told(table), wanted, loc)
    if not isinstance(contents, Array) or len(contents.input.dims) != 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise catalogue.patch_contents(_told(contents), loc)
    cell = _cells(contents.input, lengths, loc)
    place = demands.integers("mp.patch", starts, loc) + cell.offset
    index = place if rows is None else (demands.integers("mp.patch", rows, loc), place)
    return update(table[index], contents[cell], combine="distinct")


def _cells(contents: ir.Input, lengths: Value, loc: Loc) -> Axis:
    """The cells that change: those of another table's patches, where they are the same."""
    if isinstance(lengths, Array) and len(lengths.input.dims) == 1:
        _root(lengths.input.dims[0], loc)
    length = lift(lengths)
    patches = ir.axis_of(length)
    if patches is None:
        raise catalogue.patch_alone(loc)
    (name,) = contents.dims
    for axis in tracing("patch").axes:
        same = isinstance(axis, ir.Ragged) and (axis.parent, axis.length) == (patches, length)
        if axis.name == name and same:
            return Axis(axis)
    if not isinstance(name, str):
        raise catalogue.patch_contents(contents.shape, loc)
    return ragged(Axis(patches), lengths, name=name)


def _root(name: str | int, loc: Loc) -> None:
    """Declares the axis of the patches, where the plan has not."""
    trace = tracing("patch")
    if isinstance(name, str) and all(a.name != name for a in trace.axes):
        trace.declare(ir.Root(demands.name("axis", name, loc, demands.COMPILE), loc=loc))


def _told(given: object) -> str:
    return given.input.shape if isinstance(given, Array) else described(given)
