"""Words that look along a row: sums that restart, sorts, partitions, bit masks."""

from __future__ import annotations

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType, Op
from metaplan.lang import demands
from metaplan.lang.axes import Axis
from metaplan.lang.values import Integer, Value, lift
from metaplan.lang.words import before, indptr, number, sum, where
from metaplan.nodes import NARROW
from metaplan.ranges import UNKNOWN, Ranges

BITS = 63
"""Bits of a word that keep it positive."""

_PLACES = DType.I32.hi


def sort(x: Integer, over: Axis, *, descending: bool = False) -> Value:
    """``x`` along each row of ``over`` in the order of its numbers: at place j the j-th of them."""
    loc = Loc.here()
    along = demands.axis("sort", over, loc)
    value = demands.counted("mp.sort", x, loc)
    demands.reaches(along, value.expr, loc)
    if isinstance(along, ir.Part):
        raise catalogue.part_sorted(along.name, loc)
    return Value(ir.Sort(value.expr, along, descending, loc=loc))


def argsort(x: Integer, over: Axis, *, descending: bool = False) -> Value:
    """int32: which place of the row the j-th number of ``x`` comes from; equal numbers keep their order."""
    loc, given = Loc.here(), number(x)
    if ir.dtype_of(given) is DType.I64:
        raise catalogue.argsort_wide(loc)
    quiet = loc.unnamed()
    place: ir.Expr = ir.Offset(demands.axis("argsort", over, loc), loc=quiet)
    last = ir.Const(_PLACES, loc=quiet)
    if descending:
        place = ir.Bin(Op.SUB, last, place, loc=quiet)
    high = ir.Bin(Op.SHL, ir.Cast(given, DType.I64, loc=quiet), ir.Const(32, DType.I64), loc=quiet)
    key = ir.Bin(Op.OR, high, ir.Cast(place, DType.I64, loc=quiet), loc=quiet)
    keys = sort(Value(key), over, descending=descending).expr
    low = ir.Bin(Op.AND, keys, ir.Const(_PLACES, DType.I64), loc=quiet)
    if not descending:
        return Value(ir.Cast(low, DType.I32, loc=loc))
    return Value(ir.Bin(Op.SUB, last, ir.Cast(low, DType.I32, loc=quiet), loc=loc))


def partition(first: Value, *, per: Axis | None = None) -> Value:
    """int32: where each point goes when those with ``first`` come first and all keep their order.

    Within the whole axis, or within each row of ``per``. No two points go to the same place.
    """
    loc = Loc.here()
    chosen = Value(demands.condition(first, loc))
    lives = chosen.axis
    if lives is None:
        raise catalogue.sum_without_axis(loc)
    axis = Axis(lives)
    ahead = indptr(Value(number(chosen))) if per is None else before(chosen, per)
    if per is None:
        total, place = _total(chosen, lives), axis.index
    else:
        total = sum(chosen, over=axis, to=per)
        place = axis.offset if ir.parent(lives) == per.ir else before(where(chosen, 1, 1), per)
    moved = where(chosen, ahead, total + place - ahead)
    return Value(ir.Distinct(moved.expr, None if per is None else per.ir, loc=loc))


def _total(chosen: Value, axis: ir.Axis | None) -> Value:
    """How many points of all rows are chosen: one level up at a time."""
    total: Value = Value(number(chosen))
    while axis is not None:
        total, axis = sum(total, over=Axis(axis)), ir.parent(axis)
    return total


def bits(holds: Value, over: Axis) -> Value:
    """int64 on the parent: bit j is set where ``holds`` is true at place j of the row; at most 63 places."""
    loc = Loc.here()
    along, quiet = demands.axis("bits", over, loc), loc.unnamed()
    places = Ranges().bound(along)
    if BITS < places < UNKNOWN.hi:
        raise catalogue.too_many_bits(along.name, places, loc)
    chosen = demands.condition(holds, loc)
    place = ir.Cast(ir.Offset(along, loc=quiet), DType.I64, loc=quiet)
    one = ir.Bin(Op.SHL, ir.Const(1, DType.I64, loc=quiet), place, loc=loc)
    nothing = ir.Const(0, DType.I64, loc=quiet)
    return sum(Value(ir.Where(chosen, one, nothing, loc=quiet)), over=over)


def pack(low: Integer, high: Integer) -> Value:
    """int32: two numbers of 16 bits in one word, ``low`` in its lower half."""
    quiet = Loc.here().unnamed()
    lower, upper = (_half(x, quiet) for x in (low, high))
    shift = ir.Const(16, DType.I64, loc=quiet)
    word = ir.Bin(Op.OR, lower, ir.Bin(Op.SHL, upper, shift, loc=quiet), loc=quiet)
    return wrapped(Value(word))


def _half(x: Integer, loc: Loc) -> ir.Expr:
    """``x``, which must lie in 0..65535, as int64."""
    expr = lift(x)
    if ir.dtype_of(expr) in (DType.BOOL, *NARROW):
        expr = ir.Cast(expr, DType.I32, loc=loc)
    return ir.Cast(ir.Expect(expr, 0, DType.U16.hi, loc=loc), DType.I64, loc=loc)


def wrapped(x: Integer) -> Value:
    """The lower 32 bits of ``x`` as int32."""
    return Value(ir.Cast(lift(x), DType.I32, wraps=True, loc=Loc.here()))


def choose(index: Integer, *values: int) -> Value:
    """int32: the constant at ``index`` among ``values``."""
    loc = Loc.here()
    place = demands.integers("mp.choose", index, loc)
    if not values or not all(demands.is_whole(v) for v in values):
        raise catalogue.bad_choice(loc)
    if isinstance(place.expr, ir.Which) and place.expr.count != len(values):
        raise catalogue.choice_of_copies(place.expr.name, place.expr.count, len(values), loc)
    return Value(ir.Choice(place.expr, tuple(values), loc=loc))
