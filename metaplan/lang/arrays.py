"""Inputs of a plan: arrays to index, and values that lift by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType, Home
from metaplan.lang import demands
from metaplan.lang.axes import Axis
from metaplan.lang.copies import Copies
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Integer, Value, described, lift, name_of, one_branch
from metaplan.nodes import NARROW


@dataclass(frozen=True, slots=True)
class Range:
    """The values that an input may hold, both ends included."""

    lo: int
    hi: int


def between(lo: int, hi: int) -> Range:
    """Declares that an input holds values from ``lo`` to ``hi``, both included."""
    return Range(lo, hi)


def below(n: int) -> Range:
    """Declares that an input holds values from 0 to ``n - 1``."""
    return Range(0, n - 1)


class Mark(Enum):
    """What else an annotation may say of an input."""

    HOST = "host"
    STATE = "state"
    DISTINCT = "distinct"
    EACH = "each"


HOST = Mark.HOST
STATE = Mark.STATE
DISTINCT = Mark.DISTINCT
EACH = Mark.EACH


@dataclass(frozen=True, slots=True)
class Each:
    """A tensor of its own for each copy ``of``."""

    of: str


def each(copies: Copies) -> Each:
    """Declares that an input is a list of tensors, one for each copy: its first dimension."""
    loc = Loc.here()
    if not isinstance(copies, Copies):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise catalogue.not_copies(described(copies), loc)
    return Each(copies.name)


class Array(Value):
    """An input; ``a[i, j]`` gathers, and a bare ``a`` is its own value at every row of its axes."""

    __slots__ = ("input",)

    def __init__(self, given: ir.Input) -> None:
        self.input = given

    @property
    def expr(self) -> ir.Expr:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The element at this point: each dimension named as an axis is indexed by it."""
        return self.at(Loc.here())

    def at(self, loc: Loc) -> ir.Expr:
        """The same, asked for at ``loc``."""
        own = [self._own(d, loc) for d in self.input.dims]
        axes = [None if isinstance(o, ir.Which) else o for o in own]
        index = tuple(
            o if isinstance(o, ir.Which) else _place(o, axes[:at], loc) for at, o in enumerate(own)
        )
        return ir.Load(self.input, index, loc=loc)

    def _own(self, dim: str | int, loc: Loc) -> ir.Axis | ir.Which:
        trace = tracing(self.input.name)
        for own in (*trace.axes, *trace.copies):
            if own.name == dim:
                return own
        raise catalogue.unlifted_input(self.input.name, str(dim), self.input.shape, loc)

    def __getitem__(
        self, index: Integer | Axis | Copies | tuple[Integer | Axis | Copies, ...]
    ) -> Value:
        listed = index if isinstance(index, tuple) else (index,)
        given = [i.index if isinstance(i, Copies) else i for i in listed]
        if not self.input.dims:
            raise catalogue.scalar_indexed(self.input.name, Loc.here())
        if len(given) != len(self.input.dims):
            dims = [str(d) for d in self.input.dims]
            raise catalogue.index_count(
                self.input.name, self.input.shape, dims, len(given), Loc.here()
            )
        axes = [i.ir if isinstance(i, Axis) else None for i in given]
        exprs = tuple(
            _place(i.ir, axes[:at], Loc.here()) if isinstance(i, Axis) else lift(i)
            for at, i in enumerate(given)
        )
        lives: ir.Axis | None = None
        for e in exprs:
            if ir.dtype_of(e) in (DType.BOOL, *NARROW):
                raise catalogue.index_kind(ir.dtype_of(e).value, Loc.here())
            if not one_branch(lives, ir.axis_of(e)):
                raise catalogue.different_branches(
                    name_of(lives), name_of(ir.axis_of(e)), Loc.here()
                )
            lives = ir.deeper(lives, ir.axis_of(e))
        return Value(ir.Load(self.input, exprs))


def _place(axis: ir.Axis, before: Sequence[ir.Axis | None], loc: Loc) -> ir.Expr:
    """An axis as an index: its place in its row behind its parent, among all points otherwise."""
    above = ir.parent(axis)
    if above is not None and above in before:
        return ir.Offset(axis, loc=loc)
    return ir.Index(axis, loc=loc)


def array(name: str, dtype: DType | type[Array], *marks: object, loc: Loc | None = None) -> Array:
    """An input declared in the body of a plan: for groups and options that a signature cannot say."""
    at = loc or Loc.here()
    demands.name("input", name, at, demands.KERNEL)
    kind = getattr(dtype, "KIND", dtype)
    if not isinstance(kind, DType):
        raise catalogue.not_dtype(name, described(dtype), at)
    dims: list[str | int] = []
    spans: list[Range] = []
    for mark in marks:
        match mark:
            case Range():
                spans.append(mark)
            case Mark():
                pass
            case Each(of):
                dims.append(of)
            case str():
                dims.append(demands.name("dimension", mark, at, demands.COMPILE))
            case int():
                dims.append(demands.size(f"a dimension of {name}", mark, at))
            case _:
                raise catalogue.bad_mark(name, described(mark), at)
    if HOST in marks and STATE in marks:
        raise catalogue.host_state(name, at)
    listed = EACH in marks or any(isinstance(m, Each) for m in marks)
    if listed:
        _list_of(name, dims, marks, at)
    home = Home.HOST if HOST in marks else Home.DEVICE if dims else Home.SCALAR
    lo, hi = _span(name, kind, spans, at)
    given = ir.Input(
        name, kind, tuple(dims), home, lo, hi, STATE in marks, DISTINCT in marks, listed, loc=at
    )
    tracing("array").declare_input(given)
    return Array(given)


def _list_of(name: str, dims: Sequence[str | int], marks: Sequence[object], loc: Loc) -> None:
    """Raises where an input cannot be a list of tensors on the device."""
    first = [m.of for m in marks if isinstance(m, Each)]
    if len(dims) < 2 or len(first) > 1 or (first and dims[0] != first[0]):
        raise catalogue.each_first(name, loc)
    if HOST in marks or STATE in marks:
        raise catalogue.each_alone(name, "mp.HOST" if HOST in marks else "mp.STATE", loc)


def _span(name: str, kind: DType, spans: list[Range], loc: Loc) -> tuple[int | None, int | None]:
    if not spans:
        return None, None
    lo, hi = spans[0].lo, spans[0].hi
    if len(spans) > 1 or not demands.is_whole(lo) or not demands.is_whole(hi) or lo > hi:
        raise catalogue.bad_range(name, f"[{lo}, {hi}]", loc)
    if lo < kind.lo or hi > kind.hi:
        raise catalogue.range_too_wide(name, f"[{lo}, {hi}]", kind.value, loc)
    return lo, hi
