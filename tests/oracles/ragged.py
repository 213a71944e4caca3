"""The array idioms that the vectorised oracles share: ragged expansion and fences with a flat tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .expected import Array


def ceil_div(value: int, by: int) -> int:
    """The least number of ``by`` that hold ``value``."""
    return -(-value // by)


def expand(counts: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(owner, offset in the owner) of every element of rows that have ``counts`` elements."""
    sizes = np.asarray(counts, np.int64)
    owner = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    start = np.cumsum(sizes) - sizes
    return owner, np.arange(int(sizes.sum()), dtype=np.int64) - start[owner]


def fence(counts: ArrayLike, capacity: int) -> NDArray[np.int32]:
    """int32[capacity + 1]: exclusive sums of ``counts``; beyond them the last value repeats."""
    sizes = np.asarray(counts)
    out = np.zeros(capacity + 1, np.int32)
    out[1 : len(sizes) + 1] = np.cumsum(sizes)
    out[len(sizes) + 1 :] = out[len(sizes)]
    return out


def padded(live: Array, capacity: int, fill: int, dtype: type[np.generic]) -> Array:
    """``live`` followed by ``fill`` up to ``capacity`` rows."""
    out = np.full((capacity, *live.shape[1:]), fill, dtype)
    out[: len(live)] = live
    return out
