"""Words that ask all points of another axis: searches, counts by bucket, ranks, values elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.lang import demands
from metaplan.lang.axes import Axis
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Integer, Value, constant, described, lift
from metaplan.lang.words import sum


def given(x: Integer) -> Value:
    """``x`` at the point that asks, inside a reduction over an axis of another branch.

    ``mp.sum(key == mp.given(bucket.offset), over=tok)`` lives on ``bucket``: for each of its points the
    number of all tokens with that key.
    """
    return Value(ir.Given(lift(x), loc=Loc.here()))


def locate(x: Value, target: Integer, *, side: Literal["right", "left"] = "right") -> Value:
    """int32: how many points of the whole axis of ``x`` have ``x <= target`` (``<``, for "left").

    For an ``x`` that never falls along its axis this is where ``target`` belongs in it.
    """
    loc = Loc.here()
    along = _axis("mp.locate", x)
    if side not in ("right", "left"):
        raise catalogue.bad_side(described(side), loc)
    value = Value(lift(x))
    wanted = given(Value(lift(target, value.dtype)))
    return sum(value <= wanted if side == "right" else value < wanted, over=along)


def histogram(key: Integer, into: Axis, *, where: Value | None = None) -> Value:
    """int32 on ``into``: how many points have the ``key`` that is this point's place there."""
    lives = _axis("mp.histogram", key)
    same = Value(lift(key)) == given(into.index)
    return sum(same if where is None else same & where, over=lives)


def rank(key: Integer, *, where: Value | None = None) -> Value:
    """int32: how many points before this one, on the whole axis, have the same ``key``."""
    lives = _axis("mp.rank", key)
    value = Value(lift(key))
    earlier = (value == given(value)) & (lives.index < given(lives.index))
    return sum(earlier if where is None else earlier & where, over=lives)


def _axis(word: str, x: Integer) -> Axis:
    """The axis whose points ``word`` looks at."""
    lives, loc = ir.axis_of(lift(x)), Loc.here()
    if lives is None:
        raise catalogue.no_points(word, loc)
    if isinstance(lives, ir.Part):
        raise catalogue.part_sorted(lives.name, loc)
    return Axis(lives)


def at(x: Value, index: Integer, *, other: int = 0) -> Value:
    """The computed value ``x`` at the point ``index`` of its axis; ``other`` where no live point is."""
    loc = Loc.here()
    along = _axis("mp.at", x)
    if not demands.is_whole(other):
        raise catalogue.not_integer(described(other), loc)
    constant(other, ir.dtype_of(lift(x)))
    place = demands.integers("mp.at", index, loc)
    return Value(ir.At(lift(x), along.ir, place.expr, other, loc=loc))


def bisect(lo: Integer, hi: Integer, holds: Callable[[Value], Value]) -> Value:
    """The smallest number from ``lo`` to ``hi`` for which ``holds`` is true; ``hi`` where there is none.

    ``holds`` gets the number as a value and returns a condition, which once true stays true for every larger
    number. Where ``lo`` and ``hi`` are values of the batch it may reduce over axes.
    """
    loc = Loc.here()
    low = demands.counted(
        "mp.bisect", Value(lift(lo, hi.dtype if isinstance(hi, Value) else None)), loc
    ).expr
    high = lift(hi, ir.dtype_of(low))
    if ir.dtype_of(low) is not ir.dtype_of(high):
        raise catalogue.mixed_dtypes(ir.dtype_of(low).value, ir.dtype_of(high).value, loc)
    trial = ir.Trial(tracing("bisect").number(), low, high, loc=loc)
    cond = demands.condition(holds(Value(trial)), loc)
    if trial not in set(ir.walk(cond)):
        raise catalogue.trial_unused(loc)
    made = ir.Bisect(low, high, cond, trial, loc=loc)
    for e in demands.looking(cond, [trial]):
        lives = ir.axis_of(made)
        if not isinstance(e, ir.Reduce):
            raise catalogue.trial_elsewhere(e.loc)
        if lives is not None:
            raise catalogue.trial_below(lives.name, e.loc)
    return Value(made)
