"""What a step's buffers must hold, which cells that is said of, and where an actual buffer differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Inputs: TypeAlias = Mapping[str, Any]
"""Arrays by name, plus the live size of a root axis and the scalars, as plain integers."""
Before: TypeAlias = Mapping[str, Array]
"""The buffers as they were before the step, at full capacity."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The buffers after a step; a cell that is not specified may hold anything."""

    values: dict[str, Array]
    """At least the specified leading rows of each buffer; all of them where a tail is a promise."""
    specified: dict[str, Array | int]
    """A bool mask of the value's shape, or the number of leading rows that are specified."""

    @classmethod
    def of(cls, values: dict[str, Array], live: Mapping[str, int]) -> Expected:
        """Everything in ``values`` is specified, except beyond the ``live`` rows of those named."""
        specified: dict[str, Array | int] = {
            name: live.get(name, len(value)) for name, value in values.items()
        }
        return cls(values, specified)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An output that is not what it must be: how many cells, and the first of them."""

    name: str
    reason: str
    cells: int = 0
    index: tuple[int, ...] = ()
    expected: int | None = None
    actual: int | None = None

    def __str__(self) -> str:
        if not self.cells:
            return f"{self.name}: {self.reason}"
        where = ", ".join(str(i) for i in self.index)
        return (
            f"{self.name}[{where}] is {self.actual}, expected {self.expected}"
            f" ({self.cells} cells differ)"
        )


def compare(expected: Expected, actual: Mapping[str, Array]) -> list[Mismatch]:
    """One mismatch for each output that is missing, has another dtype or shape, or differs."""
    found: list[Mismatch] = []
    for name, value in expected.values.items():
        if name not in actual:
            found.append(Mismatch(name, "there is no such output"))
            continue
        wrong = _compare_one(name, value, expected.specified[name], np.asarray(actual[name]))
        if wrong is not None:
            found.append(wrong)
    return found


def _compare_one(name: str, value: Array, specified: Array | int, actual: Array) -> Mismatch | None:
    if actual.dtype != value.dtype:
        return Mismatch(name, f"dtype is {actual.dtype}, expected {value.dtype}")
    if value.size == actual.size == 1:
        actual = actual.reshape(value.shape)
    if actual.ndim != value.ndim or any(
        a < v for a, v in zip(actual.shape, value.shape, strict=True)
    ):
        return Mismatch(name, f"shape is {actual.shape}, expected at least {value.shape}")
    rows = specified if isinstance(specified, int) else len(value)
    inside = (slice(0, rows), *(slice(0, size) for size in value.shape[1:]))
    differs = actual[inside] != value[:rows]
    if not isinstance(specified, int):
        differs &= specified
    if not differs.any():
        return None
    cells = int(np.count_nonzero(differs))
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), differs.shape))
    return Mismatch(name, "cells differ", cells, index, int(value[index]), int(actual[index]))
