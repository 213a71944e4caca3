"""The functions of the language: choose, bound, sum, scan, join, scatter, and say what a tail is."""

from __future__ import annotations

from dataclasses import dataclass

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType, Monoid, Op
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis, Indptr, Ragged
from metaplan.lang.values import Integer, Value, binary, lift, name_of, one_branch, pair


def minimum(a: Integer, b: Integer) -> Value:
    """The smaller of two values."""
    return binary(Op.MIN, a, b)


def maximum(a: Integer, b: Integer) -> Value:
    """The larger of two values."""
    return binary(Op.MAX, a, b)


def cdiv(a: Integer, b: int) -> Value:
    """``a / b`` rounded up, for a positive ``b``."""
    return binary(Op.DIV, binary(Op.ADD, a, b - 1), b)


def where(cond: Value, then: Integer, other: Integer) -> Value:
    """``then`` where ``cond`` holds, else ``other``; the side not taken reads nothing."""
    if cond.dtype is not DType.BOOL:
        raise catalogue.wrong_kind("a condition", cond.dtype.value, Loc.here())
    left, right = pair(then, other)
    for side in (left, right):
        if not one_branch(cond.axis, ir.axis_of(side)):
            raise catalogue.different_branches(
                name_of(cond.axis), name_of(ir.axis_of(side)), Loc.here()
            )
    return Value(ir.Where(cond.expr, left, right))


def expect(x: Value, lo: int, hi: int) -> Value:
    """``x``, which the data promises to lie in [lo, hi]: clamped, and counted in a flag, where not."""
    return Value(ir.Expect(x.expr, lo, hi))


def cumsum(x: Value) -> Value:
    """The running sum of ``x`` along its axis, this point included: no leading 0."""
    return Value(ir.Bin(Op.ADD, _scan(x), x.expr))


def indptr(x: Value) -> Indptr:
    """The running sum of ``x`` before each point; as an output it has the total behind the last."""
    return Indptr(_scan(x))


def _scan(x: Value) -> ir.Expr:
    if x.axis is None:
        raise catalogue.value_not_on("a running sum", "the whole batch", Loc.here())
    if x.dtype not in (DType.I32, DType.I64):
        raise catalogue.wrong_kind("a running sum", x.dtype.value, Loc.here())
    return ir.Scan(x.expr, x.axis)


def _reduce(op: Monoid, x: Value, over: Axis, to: Axis | None) -> Value:
    inside = ir.deeper(x.axis, over.ir)
    if inside != over.ir or not one_branch(x.axis, over.ir):
        raise catalogue.value_not_on(over.name, name_of(x.axis), Loc.here())
    target = to.ir if to is not None else ir.parent(over.ir)
    if target is not None and (target == over.ir or target not in ir.chain(over.ir)):
        raise catalogue.not_below(over.name, target.name, Loc.here())
    return Value(ir.Reduce(op, x.expr, over.ir, target))


def sum(x: Value, over: Axis, *, to: Axis | None = None) -> Value:  # noqa: A001
    """The sum of ``x`` over the points of ``over`` under each row of its parent (or of ``to``)."""
    counted = Value(ir.Cast(x.expr, DType.I32)) if x.dtype is DType.BOOL else x
    return _reduce(Monoid.SUM, counted, over, to)


def max(x: Value, over: Axis, *, to: Axis | None = None) -> Value:  # noqa: A001
    """The largest ``x`` under each row; the smallest number of the dtype where a row is empty."""
    return _reduce(Monoid.MAX, x, over, to)


def min(x: Value, over: Axis, *, to: Axis | None = None) -> Value:  # noqa: A001
    """The smallest ``x`` under each row; the largest number of the dtype where a row is empty."""
    return _reduce(Monoid.MIN, x, over, to)


def any(x: Value, over: Axis, *, to: Axis | None = None) -> Value:  # noqa: A001
    """Whether ``x`` holds anywhere under each row."""
    return _reduce(Monoid.MAX, Value(ir.Cast(x.expr, DType.I32)), over, to) > 0


def all(x: Value, over: Axis, *, to: Axis | None = None) -> Value:  # noqa: A001
    """Whether ``x`` holds everywhere under each row."""
    return _reduce(Monoid.MIN, Value(ir.Cast(x.expr, DType.I32)), over, to) > 0


# -------------------------------------------------------------- outputs


@dataclass(frozen=True, slots=True)
class Out:
    """A value on its way to a buffer, with what its buffer still needs to know."""

    columns: tuple[Value, ...]
    axis: Axis | None = None
    parts: tuple[tuple[Ragged, Value], ...] = ()
    fill: Value | int | None = None
    last: bool = False
    undefined: bool = False
    until: Integer | None = None
    where: Value | None = None
    loc: Loc | None = None


class Last:
    """The type of ``mp.LAST``."""


class Anything:
    """The type of ``mp.UNDEFINED``."""


LAST = Last()
UNDEFINED = Anything()


def _out(x: Value | Out) -> Out:
    return x if isinstance(x, Out) else Out((x,), loc=Loc.here())


def tail(x: Value | Out, fill: Integer | Last | Anything, *, until: Integer | None = None) -> Out:
    """``x`` with a tail: ``fill`` in the cells beyond the live points, up to ``until`` points.

    ``fill`` is a number, a value of scalars and sizes, ``mp.LAST`` (the total, for an indptr) or
    ``mp.UNDEFINED``. Without ``until`` the tail goes to the capacity. Without any tail the cells
    beyond the live points keep what was there.
    """
    o = _out(x)
    last, anything = isinstance(fill, Last), isinstance(fill, Anything)
    plain = None if isinstance(fill, Last | Anything) else fill
    return Out(
        o.columns, o.axis, o.parts, plain, last, anything, until, o.where, o.loc or Loc.here()
    )


def on(axis: Axis, *columns: Integer) -> Out:
    """Values stored at every point of ``axis``; several make a record, stored side by side."""
    values = tuple(c if isinstance(c, Value) else Value(lift(c)) for c in columns)
    for v in values:
        if not one_branch(v.axis, axis.ir) or ir.deeper(v.axis, axis.ir) != axis.ir:
            raise catalogue.value_not_on(axis.name, name_of(v.axis), Loc.here())
    return Out(values, axis, loc=Loc.here())


def join(row: Axis, **parts: Value) -> Out:
    """The values of a row made of pieces: one keyword a part; a part left out keeps its cells."""
    from metaplan.lang.axes import Pieces

    assert isinstance(row, Pieces)
    pairs = tuple((getattr(row, name), value) for name, value in parts.items())
    for part, value in pairs:
        if not one_branch(value.axis, part.ir):
            raise catalogue.value_not_on(part.name, name_of(value.axis), Loc.here())
    return Out((), row, pairs, loc=Loc.here())


def keep(x: Value | Out, *, where: Value) -> Out:
    """``x`` stored only where ``where`` holds; the other cells keep what was there."""
    o = _out(x)
    return Out(
        o.columns, o.axis, o.parts, o.fill, o.last, o.undefined, o.until, where, o.loc or Loc.here()
    )


@dataclass(frozen=True, slots=True)
class Change:
    """An element of a state, and what it becomes."""

    target: Array
    index: tuple[ir.Expr, ...]
    value: ir.Expr
    where: ir.Expr | None
    loc: Loc


def update(at: Value, value: Integer, *, where: Value | None = None) -> Change:
    """``state[i, j]`` becomes ``value``, in place, at every point where ``where`` holds."""
    loc = Loc.here()
    place = at.expr
    if not isinstance(place, ir.Load):
        raise catalogue.value_not_on("an update", "an expression; name the element state[i]", loc)
    if not place.source.state:
        raise catalogue.not_state(place.source.name, loc)
    new = lift(value, place.source.dtype)
    if ir.dtype_of(new) is not place.source.dtype:
        raise catalogue.mixed_dtypes(place.source.dtype.value, ir.dtype_of(new).value, loc)
    guard = where.expr if where is not None else None
    return Change(Array(place.source), place.index, new, guard, loc)
