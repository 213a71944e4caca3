"""The live points of an axis, and how values of many points become one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from metaplan import ir
from metaplan.ir import DType, Monoid

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"


@dataclass(frozen=True, slots=True)
class Points:
    """The live points of an axis, in storage order: ``index`` and ``offset`` on each axis above."""

    count: int
    index: dict[ir.Axis, Array]
    offset: dict[ir.Axis, Array]
    cell: Array = field(default_factory=lambda: np.zeros(1, np.int64))

    def taken(self, chosen: Array) -> Points:
        """Only the points ``chosen``."""
        return Points(
            len(chosen),
            {a: v[chosen] for a, v in self.index.items()},
            {a: v[chosen] for a, v in self.offset.items()},
        )


def combine(op: Monoid, value: Array, row: Array, rows: int) -> Array:
    """``value`` combined by ``row``."""
    out = np.full(rows, op.identity(DType(value.dtype.name)), value.dtype)
    match op:
        case Monoid.SUM:
            np.add.at(out, row, value)
        case Monoid.MAX:
            np.maximum.at(out, row, value)
        case Monoid.MIN:
            np.minimum.at(out, row, value)
    return out


def overfull(axis: ir.Axis | None) -> str:
    """What is said of points that the buffers of ``axis`` do not hold."""
    return f"more points than the capacity of {axis.name if axis is not None else 'the batch'}"
