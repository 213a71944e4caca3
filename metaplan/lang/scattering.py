"""``put``: values that go where an index says."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType
from metaplan.lang import demands
from metaplan.lang.axes import Axis
from metaplan.lang.combining import combination
from metaplan.lang.values import Integer, Value, lift, name_of, one_branch
from metaplan.lang.words import Out
from metaplan.nodes import NARROW


def put(
    into: Axis,
    index: Integer | tuple[Integer, Integer],
    value: Integer,
    *,
    where: Value | None = None,
    combine: str = "only",
    init: Integer | None = None,
) -> Out:
    """``value`` scattered into a buffer with the shape of ``into``, at every point where ``where`` holds.

    ``index`` is a point of ``into``, or (row, place) where it is dense under a parent. ``init`` is what all
    cells hold before; without it, a cell that no point names keeps what was there. ``combine`` is that of
    ``mp.update``.
    """
    loc = Loc.here()
    shape = demands.axis("put", into, loc)
    if isinstance(shape, ir.Part):
        raise catalogue.part_sorted(shape.name, loc)
    rows = isinstance(shape, ir.Dense) and shape.parent is not None
    given = index if isinstance(index, tuple) else (index,)
    if len(given) != 1 + rows:
        raise catalogue.put_index(shape.name, 1 + rows, len(given), loc)
    made = Value(lift(value))
    places = tuple(_place(i, loc) for i in given)
    guard = Value(demands.condition(where, loc)) if where is not None else None
    source: ir.Axis | None = None
    for e in (*places, made.expr, *([guard.expr] if guard is not None else [])):
        if not one_branch(source, ir.axis_of(e)):
            raise catalogue.different_branches(name_of(source), name_of(ir.axis_of(e)), loc)
        source = ir.deeper(source, ir.axis_of(e))
    how = combination(combine, made.dtype, loc)
    fill = None if init is None else Value(lift(init, made.dtype))
    if fill is not None and fill.dtype is not made.dtype:
        raise catalogue.tail_dtype(made.dtype.value, fill.dtype.value, loc)
    return Out(
        (made,), into, fill=fill, where=guard, put=ir.Put(source, places, how, loc=loc), loc=loc
    )


def _place(index: Integer, loc: Loc) -> ir.Expr:
    place = lift(index)
    if ir.dtype_of(place) in (DType.BOOL, *NARROW):
        raise catalogue.index_kind(ir.dtype_of(place).value, loc)
    return place
