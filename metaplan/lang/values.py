"""Values: what the names of a plan stand for while its function runs; operators build IR nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeAlias

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType, Op
from metaplan.nodes import NARROW

Integer: TypeAlias = "Value | int"


class Value:
    """An integer (or bool) for every point of an axis, known only to the GPU."""

    __slots__ = ("expr",)
    __hash__ = object.__hash__
    expr: ir.Expr

    def __init__(self, expr: ir.Expr) -> None:
        self.expr = expr

    @property
    def dtype(self) -> DType:
        return ir.dtype_of(self.expr)

    @property
    def axis(self) -> ir.Axis | None:
        return ir.axis_of(self.expr)

    def __add__(self, other: Integer) -> Value:
        return binary(Op.ADD, self, other)

    def __radd__(self, other: Integer) -> Value:
        return binary(Op.ADD, other, self)

    def __sub__(self, other: Integer) -> Value:
        return binary(Op.SUB, self, other)

    def __rsub__(self, other: Integer) -> Value:
        return binary(Op.SUB, other, self)

    def __mul__(self, other: Integer) -> Value:
        return binary(Op.MUL, self, other)

    def __rmul__(self, other: Integer) -> Value:
        return binary(Op.MUL, other, self)

    def __floordiv__(self, other: Integer) -> Value:
        return binary(Op.DIV, self, other)

    def __rfloordiv__(self, other: Integer) -> Value:
        return binary(Op.DIV, other, self)

    def __mod__(self, other: Integer) -> Value:
        return binary(Op.MOD, self, other)

    def __rmod__(self, other: Integer) -> Value:
        return binary(Op.MOD, other, self)

    def __and__(self, other: Integer) -> Value:
        return binary(Op.AND, self, other)

    def __or__(self, other: Integer) -> Value:
        return binary(Op.OR, self, other)

    def __xor__(self, other: Integer) -> Value:
        return binary(Op.XOR, self, other)

    def __lshift__(self, other: Integer) -> Value:
        return binary(Op.SHL, self, other)

    def __rshift__(self, other: Integer) -> Value:
        return binary(Op.SHR, self, other)

    def __rand__(self, other: Integer) -> Value:
        return binary(Op.AND, other, self)

    def __ror__(self, other: Integer) -> Value:
        return binary(Op.OR, other, self)

    def __rxor__(self, other: Integer) -> Value:
        return binary(Op.XOR, other, self)

    def __rlshift__(self, other: Integer) -> Value:
        return binary(Op.SHL, other, self)

    def __rrshift__(self, other: Integer) -> Value:
        return binary(Op.SHR, other, self)

    def __lt__(self, other: Integer) -> Value:
        return binary(Op.LT, self, other)

    def __le__(self, other: Integer) -> Value:
        return binary(Op.LE, self, other)

    def __gt__(self, other: Integer) -> Value:
        return binary(Op.LT, other, self)

    def __ge__(self, other: Integer) -> Value:
        return binary(Op.LE, other, self)

    def __eq__(self, other: Integer) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]
        return binary(Op.EQ, self, other)

    def __ne__(self, other: Integer) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]
        return binary(Op.NE, self, other)

    def __invert__(self) -> Value:
        return Value(ir.Not(self.expr))

    def __neg__(self) -> Value:
        return binary(Op.SUB, 0, self)

    def __bool__(self) -> bool:
        raise catalogue.truth_of_value(Loc.here())

    # What Python would try and a plan cannot mean; a type checker refuses these by itself.
    if not TYPE_CHECKING:

        def __truediv__(self, other: object) -> NoReturn:
            raise catalogue.no_operator("/", "//, which rounds down, or mp.cdiv(a, b)", Loc.here())

        __rtruediv__ = __truediv__

        def __pow__(self, other: object) -> NoReturn:
            raise catalogue.no_operator("**", "x * x, or 1 << x for a power of two", Loc.here())

        __rpow__ = __pow__

        def __iter__(self) -> NoReturn:
            raise catalogue.no_loop(Loc.here())

        def __index__(self) -> NoReturn:
            raise catalogue.no_number(Loc.here())

        def __getitem__(self, index: object) -> NoReturn:
            raise catalogue.not_array(Loc.here())


def described(x: object) -> str:
    """``x`` in a few words, for a message."""
    axis = getattr(x, "ir", None)
    if isinstance(axis, ir.Root | ir.Dense | ir.Ragged | ir.Part):
        return f"the axis {axis.name}"
    if isinstance(x, Value):
        return "a value of the plan"
    if x is None or isinstance(x, bool | int | float | str):
        return repr(x)
    kind = type(x).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def name_of(axis: ir.Axis | None) -> str:
    return "the whole batch" if axis is None else axis.name


def one_branch(a: ir.Axis | None, b: ir.Axis | None) -> bool:
    """Whether one axis is the other, or above it."""
    if a is None or b is None:
        return True
    long, short = sorted((ir.chain(a), ir.chain(b)), key=len, reverse=True)
    return long[: len(short)] == short


def lift(x: object, like: DType | None = None) -> ir.Expr:
    """``x`` as an expression; an int takes the dtype of the value that it meets."""
    if isinstance(x, Value):
        return x.expr
    if isinstance(x, bool):
        return ir.Const(int(x), DType.BOOL)
    if isinstance(x, int):
        return constant(x, like if like is not None and like is not DType.BOOL else DType.I32)
    if isinstance(getattr(x, "ir", None), ir.Root | ir.Dense | ir.Ragged | ir.Part):
        raise catalogue.axis_as_value(described(x).split()[-1], Loc.here())
    raise catalogue.not_integer(described(x), Loc.here())


def constant(x: int, dtype: DType) -> ir.Expr:
    """The number ``x`` in ``dtype``, which must hold it."""
    if not dtype.lo <= x <= dtype.hi:
        raise catalogue.constant_too_large(x, dtype.value, Loc.here())
    return ir.Const(x, dtype)


def pair(a: Integer, b: Integer) -> tuple[ir.Expr, ir.Expr]:
    """Both sides as expressions of one dtype on one branch of the axes."""
    left = lift(a, b.dtype if isinstance(b, Value) else None)
    right = lift(b, a.dtype if isinstance(a, Value) else None)
    kinds = ir.dtype_of(left), ir.dtype_of(right)
    if kinds[0] is not kinds[1]:
        raise catalogue.mixed_dtypes(kinds[0].value, kinds[1].value, Loc.here())
    axes = ir.axis_of(left), ir.axis_of(right)
    if not one_branch(*axes):
        raise catalogue.different_branches(name_of(axes[0]), name_of(axes[1]), Loc.here())
    return left, right


_NUMBERS = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MOD, Op.SHL, Op.SHR})
_ORDER = frozenset({Op.MIN, Op.MAX, Op.LT, Op.LE})


def binary(op: Op, a: Integer, b: Integer) -> Value:
    left, right = pair(a, b)
    dtype = ir.dtype_of(left)
    no_meaning = {DType.BOOL: _NUMBERS | _ORDER, **dict.fromkeys(NARROW, _NUMBERS)}
    if op in no_meaning.get(dtype, ()):
        word = f"mp.{op.value}imum" if op in (Op.MIN, Op.MAX) else op.value
        raise catalogue.wrong_kind(word, dtype.value, Loc.here())
    return Value(ir.Bin(op, left, right))
