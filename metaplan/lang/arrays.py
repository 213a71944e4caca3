"""Inputs of a plan: arrays to index, and values that lift by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType, Home
from metaplan.lang.axes import Axis
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Integer, Value, lift, name_of, one_branch


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


HOST = Mark.HOST
STATE = Mark.STATE


class Array(Value):
    """An input; ``a[i, j]`` gathers, and a bare ``a`` is its own value at every row of its axes."""

    __slots__ = ("input",)

    def __init__(self, given: ir.Input) -> None:
        self.input = given

    @property
    def expr(self) -> ir.Expr:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The element at this point: each dimension named as a root axis is indexed by it."""
        return ir.Load(self.input, tuple(self._own_axis(d) for d in self.input.dims))

    def _own_axis(self, dim: str | int) -> ir.Expr:
        for axis in tracing(self.input.name).axes:
            if axis.name == dim:
                return ir.Index(axis)
        raise catalogue.unlifted_input(self.input.name, str(dim), Loc.here())

    def __getitem__(self, index: Integer | Axis | tuple[Integer | Axis, ...]) -> Value:
        given = index if isinstance(index, tuple) else (index,)
        if len(given) != len(self.input.dims):
            dims = [str(d) for d in self.input.dims]
            raise catalogue.index_count(
                self.input.name, self.input.shape, dims, len(given), Loc.here()
            )
        exprs = tuple(i.index.expr if isinstance(i, Axis) else lift(i) for i in given)
        lives: ir.Axis | None = None
        for e in exprs:
            if ir.dtype_of(e) in (DType.BOOL, DType.U8):
                raise catalogue.wrong_kind("an index", ir.dtype_of(e).value, Loc.here())
            if not one_branch(lives, ir.axis_of(e)):
                raise catalogue.different_branches(
                    name_of(lives), name_of(ir.axis_of(e)), Loc.here()
                )
            lives = ir.deeper(lives, ir.axis_of(e))
        return Value(ir.Load(self.input, exprs))


def array(name: str, dtype: DType, *marks: object, loc: Loc | None = None) -> Array:
    """An input declared in the body of a plan: for groups and options that a signature cannot say."""
    at = loc or Loc.here()
    dims = tuple(m for m in marks if isinstance(m, str | int))
    home = Home.HOST if HOST in marks else Home.DEVICE if dims else Home.SCALAR
    span = next((m for m in marks if isinstance(m, Range)), None)
    lo, hi = (span.lo, span.hi) if span else (None, None)
    given = ir.Input(name, dtype, dims, home, lo, hi, STATE in marks, loc=at)
    tracing("input").declare_input(given)
    return Array(given)
