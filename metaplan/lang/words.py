"""The functions of the language: choose, bound, sum, scan, join, scatter, and say what a tail is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import Combine, DType, Monoid, Op
from metaplan.lang import demands
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis, Indptr, Pieces, Ragged
from metaplan.lang.combining import combination
from metaplan.lang.values import (
    Integer,
    Value,
    binary,
    described,
    lift,
    name_of,
    one_branch,
    pair,
)
from metaplan.nodes import NARROW


def minimum(a: Integer, b: Integer) -> Value:
    """The smaller of two values."""
    return binary(Op.MIN, a, b)


def maximum(a: Integer, b: Integer) -> Value:
    """The larger of two values."""
    return binary(Op.MAX, a, b)


def cdiv(a: Integer, b: Integer) -> Value:
    """``a / b`` rounded up, for a positive ``b``."""
    less = b - 1 if isinstance(b, int) else binary(Op.SUB, b, 1)
    above = binary(Op.ADD, a, less).expr
    return binary(Op.DIV, Value(replace(above, loc=above.loc.unnamed())), b)


def where(cond: Value | bool, then: Integer, other: Integer) -> Value:
    """``then`` where ``cond`` holds, else ``other``; the side not taken reads nothing."""
    loc = Loc.here()
    chosen = demands.condition(cond, loc)
    left, right = pair(then, other)
    for side in (left, right):
        if not one_branch(ir.axis_of(chosen), ir.axis_of(side)):
            raise catalogue.different_branches(
                name_of(ir.axis_of(chosen)), name_of(ir.axis_of(side)), loc
            )
    return Value(ir.Where(chosen, left, right, loc=loc))


def expect(x: Integer, lo: int, hi: int) -> Value:
    """``x``, which the data promises to lie in [lo, hi]: clamped, and counted in a flag, where not."""
    loc = Loc.here()
    given = demands.integers("mp.expect", x, loc)
    if not demands.is_whole(lo) or not demands.is_whole(hi) or lo > hi:
        raise catalogue.bad_range("mp.expect", f"[{described(lo)}, {described(hi)}]", loc)
    return Value(ir.Expect(given.expr, lo, hi, loc=loc))


def cumsum(x: Value, *, per: Axis | None = None) -> Value:
    """The running sum of ``x`` along its axis, this point included: no leading 0.

    ``per`` is an axis above: the sum restarts at each of its rows.
    """
    if per is not None:
        return binary(Op.ADD, before(x, per), Value(number(x)))
    return binary(Op.ADD, Value(_scan(x)), x)


def indptr(x: Value) -> Indptr:
    """The running sum of ``x`` before each point; as an output it has the total behind the last."""
    return Indptr(_scan(x))


def before(x: Integer, per: Axis) -> Value:
    """The running sum of ``x`` before each point, restarting at each row of ``per``."""
    expr, loc = number(x), Loc.here()
    above, lives = demands.axis("cumsum", per, loc), ir.axis_of(expr)
    if lives is None or above not in ir.chain(lives)[:-1]:
        raise catalogue.restarts_nowhere(name_of(lives), above.name, loc)
    if above == ir.parent(lives):
        return Value(ir.RowScan(expr, lives, loc=loc))
    # Further up: the sum before this point, without what lies before its row.
    total, along = expr, lives
    while along != above:
        up = ir.parent(along)
        assert up is not None
        total, along = ir.Reduce(Monoid.SUM, total, along, up, loc=loc), up
    start = ir.Scan(total, above, loc=loc)
    return Value(ir.Bin(Op.SUB, ir.Scan(expr, lives, loc=loc), start, loc=loc))


def _scan(x: Integer) -> ir.Expr:
    expr, loc = lift(x), Loc.here()
    lives = ir.axis_of(expr)
    if lives is None:
        raise catalogue.sum_without_axis(loc)
    if ir.dtype_of(expr) not in (DType.I32, DType.I64):
        raise catalogue.wrong_kind("a running sum", ir.dtype_of(expr).value, loc)
    return ir.Scan(expr, lives, loc=loc)


def _reduce(op: Monoid, x: ir.Expr, over: Axis, to: Axis | None) -> Value:
    loc = Loc.here()
    along = demands.axis(op.value, over, loc)
    demands.reaches(along, x, loc)
    if ir.asked(x):
        if to is not None:
            raise catalogue.across_to(loc)
        return Value(ir.Across(op, x, along, loc=loc))
    target = demands.axis(op.value, to, loc) if to is not None else ir.parent(along)
    if target is not None and (target == along or target not in ir.chain(along)):
        raise catalogue.not_below(along.name, target.name, loc)
    # A reduction to an ancestor further up goes one level at a time.
    while target is not None and (above := ir.parent(along)) is not None and above != target:
        x, along = ir.Reduce(op, x, along, above, loc=loc), above
    return Value(ir.Reduce(op, x, along, target, loc=loc))


def number(x: Integer) -> ir.Expr:
    """``x`` in a dtype that a sum of it fits: a bool counts as 0 or 1."""
    expr = lift(x)
    narrow = ir.dtype_of(expr) in (DType.BOOL, *NARROW)
    return ir.Cast(expr, DType.I32) if narrow else expr


def sum(x: Integer, over: Axis, *, to: Axis | None = None) -> Value:
    """The sum of ``x`` over the points of ``over`` under each row of its parent (or of ``to``)."""
    return _reduce(Monoid.SUM, number(x), over, to)


def max(x: Integer, over: Axis, *, to: Axis | None = None) -> Value:
    """The largest ``x`` under each row; the smallest number of the dtype where a row is empty."""
    return _reduce(Monoid.MAX, demands.integers("mp.max", x, Loc.here()).expr, over, to)


def min(x: Integer, over: Axis, *, to: Axis | None = None) -> Value:
    """The smallest ``x`` under each row; the largest number of the dtype where a row is empty."""
    return _reduce(Monoid.MIN, demands.integers("mp.min", x, Loc.here()).expr, over, to)


def any(x: Value, over: Axis, *, to: Axis | None = None) -> Value:
    """Whether ``x`` holds anywhere under each row."""
    held = ir.Cast(demands.condition(x, Loc.here()), DType.I32)
    return _reduce(Monoid.MAX, held, over, to) > 0


def all(x: Value, over: Axis, *, to: Axis | None = None) -> Value:
    """Whether ``x`` holds everywhere under each row."""
    held = ir.Cast(demands.condition(x, Loc.here()), DType.I32)
    return _reduce(Monoid.MIN, held, over, to) > 0


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
    put: ir.Put | None = None
    loc: Loc | None = None


class Last:
    """The type of ``mp.LAST``."""


class Anything:
    """The type of ``mp.UNDEFINED``."""


LAST = Last()
UNDEFINED = Anything()


def _out(word: str, x: object) -> Out:
    loc = Loc.here()
    if isinstance(x, Out):
        return x if x.loc is not None else replace(x, loc=loc)
    if isinstance(x, Array):
        return Out((Value(x.at(loc)),), loc=loc)
    if isinstance(x, Value):
        return Out((x,), loc=loc)
    if isinstance(x, int):
        return Out((Value(lift(x)),), loc=loc)
    raise catalogue.not_storable(word, described(x), loc)


def tail(x: Value | Out, fill: Integer | Last | Anything, *, until: Integer | None = None) -> Out:
    """``x`` with a tail: ``fill`` in the cells beyond the live points, up to ``until`` points.

    ``fill`` is a number, a value of scalars and sizes, ``mp.LAST`` (the total, for an indptr or a
    running sum) or ``mp.UNDEFINED``. Without ``until`` the tail goes to the capacity. Without any
    tail the cells beyond the live points keep what was there.
    """
    o, loc = _out("mp.tail", x), Loc.here()
    if o.put is not None:
        raise catalogue.put_is_whole("mp.tail", loc)
    if until is not None:
        bound = lift(until)
        if ir.dtype_of(bound) is not DType.I32:
            raise catalogue.until_dtype(ir.dtype_of(bound).value, loc)
        until = Value(bound)
    o = replace(o, fill=None, until=until, last=fill is LAST, undefined=fill is UNDEFINED)
    if o.last or o.undefined:
        return o
    held = (o.columns[0] if o.columns else o.parts[0][1]).dtype
    made = lift(fill, held)
    if ir.dtype_of(made) is not held:
        raise catalogue.tail_dtype(held.value, ir.dtype_of(made).value, loc)
    return replace(o, fill=Value(made))


def on(axis: Axis, *columns: Integer) -> Out:
    """Values stored at every point of ``axis``; several make a record, stored side by side."""
    loc = Loc.here()
    holder = demands.axis("on", axis, loc)
    if not columns:
        raise catalogue.no_columns(holder.name, loc)
    values = tuple(Value(lift(c)) for c in columns)
    for v in values:
        demands.reaches(holder, v.expr, loc)
        if v.dtype is not values[0].dtype:
            raise catalogue.mixed_dtypes(values[0].dtype.value, v.dtype.value, loc)
    return Out(values, axis, loc=loc)


def join(row: Axis, /, **parts: Integer) -> Out:
    """The values of a row made of pieces: one keyword a part; a part left out keeps its cells."""
    loc = Loc.here()
    if not isinstance(row, Pieces):
        raise catalogue.not_pieces(described(row), loc)
    if not parts:
        raise catalogue.no_parts("join", loc)
    pairs = tuple((row.part(name, loc), Value(lift(value))) for name, value in parts.items())
    for part, value in pairs:
        demands.reaches(part.ir, value.expr, loc)
        if value.dtype is not pairs[0][1].dtype:
            raise catalogue.mixed_dtypes(pairs[0][1].dtype.value, value.dtype.value, loc)
    return Out((), row, pairs, loc=loc)


def keep(x: Value | Out, *, where: Value) -> Out:
    """``x`` stored only where ``where`` holds; the other cells keep what was there."""
    o, loc = _out("mp.keep", x), Loc.here()
    if o.put is not None:
        raise catalogue.put_is_whole("mp.keep", loc)
    return replace(o, where=Value(demands.condition(where, loc)))


@dataclass(frozen=True, slots=True)
class Change:
    """An element of a state, and what it becomes."""

    target: Array
    index: tuple[ir.Expr, ...]
    value: ir.Expr
    where: ir.Expr | None
    loc: Loc
    combine: Combine = Combine.ONLY


def update(
    at: Value, value: Integer, *, where: Value | None = None, combine: str = "only"
) -> Change:
    """``state[i, j]`` becomes ``value``, in place, at every point where ``where`` holds.

    ``combine`` says what becomes of an element that several points name: their sum is added to it
    ("add"), it takes part in their "max", "min" or "or", or the "last" point wins. "distinct" promises that no
    two points do; without it the plan must show that.
    """
    loc = Loc.here()
    place = at.expr if isinstance(at, Value) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if not isinstance(place, ir.Load):
        raise catalogue.not_element(described(at), loc)
    if not place.source.state:
        raise catalogue.not_state(place.source.name, loc)
    new = lift(value, place.source.dtype)
    if ir.dtype_of(new) is not place.source.dtype:
        raise catalogue.mixed_dtypes(place.source.dtype.value, ir.dtype_of(new).value, loc)
    guard = demands.condition(where, loc) if where is not None else None
    how = combination(combine, place.source.dtype, loc)
    return Change(Array(place.source), place.index, new, guard, loc, how)
