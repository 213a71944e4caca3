"""``fold``: numbers carried from point to point along a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.lang import demands
from metaplan.lang.axes import Axis
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Integer, Value, described, lift, name_of, one_branch


@dataclass(frozen=True, slots=True)
class Carried:
    """What a carry starts with, and the numbers that it may hold."""

    init: Integer
    lo: int
    hi: int


def carry(init: Integer, lo: int, hi: int) -> Carried:
    """A number that ``mp.fold`` carries: it starts as ``init`` and always lies in [lo, hi]."""
    loc = Loc.here()
    if not demands.is_whole(lo) or not demands.is_whole(hi) or lo > hi:
        raise catalogue.bad_range("mp.carry", f"[{described(lo)}, {described(hi)}]", loc)
    return Carried(init, lo, hi)


class Moment(SimpleNamespace):
    """The carries by name, at one moment of a fold."""

    def __getattr__(self, name: str) -> Value:
        raise catalogue.unknown_carry(name, list(vars(self)), Loc.here())


@dataclass(frozen=True, slots=True)
class Folded:
    """``before`` and ``after`` live on the axis of the fold, ``last`` on its parent."""

    before: Moment
    after: Moment
    last: Moment


def fold(over: Axis, step: Callable[[Moment], Mapping[str, Integer]], **carries: Carried) -> Folded:
    """Goes through the points of ``over`` under each row, in order, carrying numbers.

    ``step`` gets the carries by name as they are in front of a point and returns what each becomes
    there. A carry outside its range is clamped and counted in a flag.
    """
    loc = Loc.here()
    axis = demands.axis("fold", over, loc)
    above = ir.parent(axis)
    if not carries:
        raise catalogue.no_carries(axis.name, loc)
    number = tracing("fold").number()
    inits: list[ir.Expr] = []
    held: list[ir.Carry] = []
    for at, (name, given) in enumerate(carries.items()):
        start = demands.counted("mp.carry", given.init, loc).expr
        if not one_branch(above, ir.axis_of(start)) or ir.deeper(above, ir.axis_of(start)) != above:
            raise catalogue.value_not_on(name_of(above), name_of(ir.axis_of(start)), loc)
        inits.append(ir.Expect(start, given.lo, given.hi, loc=loc))
        demands.name("carry", name, loc)
        held.append(ir.Carry(number, at, given.lo, given.hi, ir.dtype_of(start), name, loc=loc))
    new = step(Moment(**dict(zip(carries, map(Value, held), strict=True))))
    if not isinstance(new, Mapping) or set(new) != set(carries):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise catalogue.step_carries(list(carries), loc)
    steps: list[ir.Expr] = []
    for own, (name, given) in zip(held, carries.items(), strict=True):
        value = lift(new[name], own.dtype)
        demands.reaches(axis, value, loc)
        for e in demands.looking(value, held):
            raise catalogue.carry_elsewhere(name, e.loc)
        if ir.dtype_of(value) is not own.dtype:
            raise catalogue.mixed_dtypes(own.dtype.value, ir.dtype_of(value).value, loc)
        steps.append(ir.Expect(value, given.lo, given.hi, loc=loc))

    def moment(when: ir.When) -> Moment:
        return Moment(
            **{
                name: Value(
                    ir.Fold(axis, tuple(inits), tuple(steps), tuple(held), at, when, loc=loc)
                )
                for at, name in enumerate(carries)
            }
        )

    return Folded(moment(ir.When.BEFORE), moment(ir.When.AFTER), moment(ir.When.LAST))
