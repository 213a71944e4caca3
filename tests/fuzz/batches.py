"""Random inputs of a drawn plan, inside everything that it declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaplan import interp, ir


class NoBatch(Exception):
    """No numbers are what the plan declares."""


FAR = 1 << 20
"""Above this a number that says where to write is no place at all."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Arrays at capacity (a list of arrays for a list), and the live number of each root axis."""

    inputs: dict[str, Any]
    live: dict[str, int]


def batch(plan: ir.Plan, seed: int, number: int) -> Batch:
    """The batch ``number`` of a plan whose sizes are bound: the first is full, the second empty."""
    rng = np.random.default_rng([seed, number])
    live = {name: _live(plan.size(name), rng, number) for name in plan.root_names()}
    return Batch({one.name: _values(plan, one, rng) for one in plan.inputs}, live)


def _live(capacity: int, rng: np.random.Generator, number: int) -> int:
    some = int(rng.integers(0, capacity, endpoint=True))
    return {0: capacity, 1: 0, 2: 1}.get(number, some)


def _values(plan: ir.Plan, one: ir.Input, rng: np.random.Generator) -> Any:
    shape = plan.extents(one) or (1,)
    if one.each:
        return [_numbers(one, shape[1:], rng) for _ in range(shape[0])]
    return _distinct(one, shape, rng) if one.distinct else _numbers(one, shape, rng)


def _span(one: ir.Input) -> tuple[int, int]:
    lo = one.dtype.lo if one.lo is None else one.lo
    hi = one.dtype.hi if one.hi is None else one.hi
    return lo, hi


def _numbers(one: ir.Input, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """All of the range, a few of its numbers, or what lies at one of its ends."""
    lo, hi = _span(one)
    few = int(rng.choice([0, 1, 3]))
    match int(rng.integers(4)):
        case 0:
            hi = min(hi, lo + few)
        case 1:
            lo = max(lo, hi - few)
        case 2 if lo < 0 < hi:
            lo, hi = max(lo, -few), min(hi, few + 1)
        case _:
            pass
    return rng.integers(lo, hi, shape, dtype=np.int64, endpoint=True).astype(one.dtype.value)


def _distinct(one: ir.Input, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """No number twice, but for negative ones, which name nothing."""
    lo, hi = _span(one)
    cells = int(np.prod(shape))
    numbers = rng.permutation(np.arange(max(lo, 0), min(hi, FAR) + 1))[:cells]
    if lo >= 0 and len(numbers) < cells:
        raise NoBatch(f"{one.name} cannot be {cells} different numbers from {lo} to {hi}")
    missing = np.full(cells - len(numbers), min(lo, -1))
    made = np.concatenate((numbers, missing))
    if lo < 0:
        made = np.where(rng.random(cells) < 0.2, lo, made)
    return rng.permutation(made).reshape(shape).astype(one.dtype.value)


def copied(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of their own for one run: states change."""
    return {
        n: [a.copy() for a in v] if isinstance(v, list) else v.copy() for n, v in inputs.items()
    }


def garbage(plan: ir.Plan, seed: int) -> dict[str, Any]:
    """Buffers at capacity, as a step may find them: full of anything."""
    rng = np.random.default_rng(seed)
    return {o.name: _anything(interp.buffer_shape(plan, o), o.dtype, rng) for o in plan.outputs}


def _anything(shape: tuple[int, ...], dtype: ir.DType, rng: np.random.Generator) -> np.ndarray:
    if dtype is ir.DType.BOOL:
        return rng.integers(0, 2, shape).astype(bool)
    return rng.integers(0, 256, (*shape, dtype.bytes), np.uint8).view(dtype.value)[..., 0]
