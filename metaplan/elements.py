"""What operators and scattered writes do to arrays, element by element."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from metaplan.ir import Combine, Op

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


def scatter(into: Array, where: tuple[Array, ...], value: Array, how: Combine) -> None:
    """Writes ``value`` to the elements ``where``, in the order of the points."""
    match how:
        case Combine.ONLY | Combine.DISTINCT | Combine.LAST:
            into[where] = value
        case Combine.ADD:
            np.add.at(into, where, value)
        case Combine.MAX:
            np.maximum.at(into, where, value)
        case Combine.MIN:
            np.minimum.at(into, where, value)
        case Combine.OR:
            np.bitwise_or.at(into, where, value)


def apply(op: Op, a: Array, b: Array) -> Array:
    """``a op b`` elementwise, with Python's floor semantics."""
    with np.errstate(all="ignore"):
        match op:
            case Op.ADD:
                return a + b
            case Op.SUB:
                return a - b
            case Op.MUL:
                return a * b
            case Op.DIV:
                return np.floor_divide(a, np.where(b == 0, 1, b))
            case Op.MOD:
                return np.mod(a, np.where(b == 0, 1, b))
            case Op.AND:
                return a & b
            case Op.OR:
                return a | b
            case Op.XOR:
                return a ^ b
            case Op.SHL:
                return np.left_shift(a, b)
            case Op.SHR:
                return np.right_shift(a, b)
            case Op.MIN:
                return np.minimum(a, b)
            case Op.MAX:
                return np.maximum(a, b)
            case Op.LT:
                return a < b
            case Op.LE:
                return a <= b
            case Op.EQ:
                return a == b
            case Op.NE:
                return a != b
