"""Runs samples in NumPy on buffers full of garbage, and says where two results differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from metaplan import interp, ir
from tests.samples import Arrays, Loops, Sample


def garbage(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """An array of anything; every cell of another seed's differs with high probability."""
    rng = np.random.default_rng(seed)
    size = np.dtype(dtype).itemsize
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    return rng.integers(0, 256, (*shape, size), np.uint8).view(dtype)[..., 0]


def garbage_buffers(plan: ir.Plan, seed: int = 0) -> Arrays:
    """Buffers at capacity, as a step may find them: full of garbage."""
    return {
        o.name: garbage(interp.buffer_shape(plan, o), o.dtype.value, seed + at)
        for at, o in enumerate(plan.outputs)
    }


def arrays(plan: ir.Plan, batch: Mapping[str, Any]) -> Arrays:
    """The inputs of a batch, each in its dtype; copies, as states change."""
    return {i.name: array(i, batch[i.name]) for i in plan.inputs}


def array(i: ir.Input, value: Any) -> Any:
    """A copy in the dtype of the input; a list of arrays for a list."""
    if i.each:
        return [np.array(one, i.dtype.value) for one in value]
    return np.array(value, i.dtype.value, ndmin=1)


def filled(plan: ir.Plan, batch: Mapping[str, Any], buffers: Arrays) -> Counter[str]:
    """Runs ``plan`` on ``batch``; its states are put beside its outputs."""
    given = arrays(plan, batch)
    live = {name: int(batch[name]) for name in plan.root_names()}
    broken = interp.run(plan, given, live, buffers)
    buffers.update({i.name: given[i.name] for i in plan.inputs if i.state})
    return broken


def loops(sample: Sample, plan: ir.Plan, batch: Mapping[str, Any], seed: int) -> Loops:
    """What the loops of a sample say of ``batch``."""
    states = {i.name for i in plan.inputs if i.state}
    given = arrays(plan, batch)
    to = Loops(garbage_buffers(plan, seed) | {n: v for n, v in given.items() if n in states})
    lists = {i.name for i in plan.inputs if i.each}
    sample.loops({**batch, **{n: v.copy() for n, v in given.items() if n not in lists and v.ndim
                              and n in batch and np.ndim(batch[n])}}, to)  # fmt: skip
    return to


def wrong(want: Loops | Arrays, got: Arrays, plan: ir.Plan | None = None) -> dict[str, str]:
    """Where ``got`` differs, by output; cells of which nothing is said do not count."""
    said = want.said if isinstance(want, Loops) else {}
    expected = want.out if isinstance(want, Loops) else want
    assert expected.keys() == got.keys()
    found: dict[str, str] = {}
    for name, value in expected.items():
        differs = (value != got[name]) & said.get(name, np.ones(value.shape, bool))
        if differs.any():
            at = tuple(int(i) for i in np.argwhere(differs)[0])
            found[name] = f"{list(at)} is {got[name][at]}, expected {value[at]}"
    return found
