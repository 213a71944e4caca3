"""``i32``, ``i64``, ``u8``, ``u16``, ``boolean``: the annotation of an input, and the conversion of a value."""

from __future__ import annotations

from typing import ClassVar

from metaplan import ir
from metaplan.ir import DType
from metaplan.lang.arrays import Array
from metaplan.lang.values import Integer, Value, constant, lift


class Typed(Array):
    """An input of one dtype; calling the class converts a value to it."""

    __slots__ = ()
    KIND: ClassVar[DType]

    def __init__(self, of: Integer) -> None:  # pyright: ignore[reportMissingSuperCall]
        raise AssertionError("made by __new__")

    def __new__(cls, of: Integer) -> Value:  # pyright: ignore[reportIncompatibleMethodOverride]
        if isinstance(of, int) and not isinstance(of, bool):
            return Value(constant(of, cls.KIND))
        return Value(ir.Cast(lift(of), cls.KIND))


class i32(Typed):
    """int32: ``x: Annotated[i32, "req"]`` declares, ``i32(x)`` converts (a bool becomes 0 or 1)."""

    KIND = DType.I32


class i64(Typed):
    """int64: ``x: Annotated[i64, "req"]`` declares, ``i64(x)`` converts."""

    KIND = DType.I64


class u8(Typed):
    """uint8: ``x: Annotated[u8, "req"]`` declares, ``u8(x)`` converts."""

    KIND = DType.U8


class u16(Typed):
    """uint16: ``x: Annotated[u16, "req"]`` declares, ``u16(x)`` converts."""

    KIND = DType.U16


class boolean(Typed):
    """bool: ``x: Annotated[boolean, "req"]`` declares; compare to make one."""

    KIND = DType.BOOL
