"""Random inputs of any plan, from what it declares: ranges, dimensions and live sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaplan import ir
from metaplan.exact import alike

Array = NDArray[Any]
REACH = (1, 3, 8, 40, 1 << 62)
"""How far above their lower bound the values of an input may lie in one batch: mostly near."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs at capacity (a list of arrays for a list) and the live number of each root axis."""

    inputs: dict[str, Any]
    live: dict[str, int]


def batch(plan: ir.Plan, rng: np.random.Generator) -> Batch:
    """A batch of ``plan``, whose sizes are bound."""
    live = {name: _live(plan.size(name), rng) for name in plan.root_names()}
    rows = _rows_written(plan)
    return Batch({one.name: _values(plan, one, rows, rng) for one in plan.inputs}, live)


def small(sizes: Mapping[str, int], roots: tuple[str, ...]) -> dict[str, int]:
    """The same axes with capacities that an interpreter fills in no time."""
    return {n: alike(min(size, 6 if n in roots else 48), size) for n, size in sizes.items()}


def _live(capacity: int, rng: np.random.Generator) -> int:
    some = int(rng.integers(0, capacity, endpoint=True))
    return (0, 1, capacity, capacity, some, some, some, some)[int(rng.integers(8))]


def _values(
    plan: ir.Plan, one: ir.Input, rows: Mapping[str, int], rng: np.random.Generator
) -> Array | list[Array]:
    shape = plan.extents(one) or (1,)
    if one.each:
        return [_numbers(one, shape[1:], rng) for _ in range(shape[0])]
    lo = one.dtype.lo if one.lo is None else one.lo
    hi = one.dtype.hi if one.hi is None else one.hi
    if one.name in rows or one.distinct:
        most = min(hi, rows.get(one.name, 1 << 20) - 1)
        return _distinct(shape, lo, most, rng).astype(one.dtype.value)
    return _numbers(one, shape, rng)


def _numbers(one: ir.Input, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    lo = one.dtype.lo if one.lo is None else one.lo
    hi = one.dtype.hi if one.hi is None else one.hi
    top = min(hi, lo + int(rng.choice(REACH)))
    return rng.integers(lo, top, shape, dtype=np.int64, endpoint=True).astype(one.dtype.value)


def _distinct(shape: tuple[int, ...], lo: int, hi: int, rng: np.random.Generator) -> Array:
    """Rows to write to: two writers of one row have no order, so each row has one; the rest has none."""
    count = int(np.prod(shape))
    rows = rng.permutation(np.arange(max(lo, 0), hi + 1))[:count]
    none = np.full(count - len(rows), min(lo, hi + 1))
    mixed = np.concatenate((rows, none))
    if lo < 0:
        mixed = np.where(rng.random(count) < 0.15, lo, mixed)
    return rng.permutation(mixed).reshape(shape)


def _rows_written(plan: ir.Plan) -> dict[str, int]:
    """Inputs that say which row of a state is written, with the rows that the state has."""
    return {
        e.source.name: plan.size(update.target.dims[0])
        for update in plan.updates
        if update.index
        for e in ir.walk(update.index[0])
        if isinstance(e, ir.Load)
    }
