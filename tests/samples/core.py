"""A sample: a small plan beside the loops that say what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaplan.lang.plan import Plan

Arrays = dict[str, np.ndarray]


@dataclass(slots=True)
class Loops:
    """Buffers that loops fill: everything that nobody writes keeps what was there."""

    out: Arrays
    said: Arrays = field(default_factory=dict)

    def put(self, name: str, values: list[int], tail: int | None = None, start: int = 0) -> None:
        """``values`` from ``start``; ``tail`` in all cells behind them."""
        cells = self.out[name].reshape(-1)
        cells[start : start + len(values)] = values
        if tail is not None:
            cells[start + len(values) :] = tail

    def put_copy(self, name: str, copy: Any, values: list[int], tail: int | None = None) -> None:
        """The same for one copy: a row of the buffer."""
        cells = self.out[name][copy].reshape(-1)
        cells[: len(values)] = values
        if tail is not None:
            cells[len(values) :] = tail

    def only(self, name: str, count: int) -> None:
        """Nothing is said of the cells from ``count`` on."""
        mask = np.zeros(self.out[name].size, bool)
        mask[:count] = True
        self.said[name] = mask.reshape(self.out[name].shape)


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    plan: Plan
    sizes: Mapping[str, int]
    batch: Callable[[np.random.Generator, int], dict[str, Any]]
    loops: Callable[[Mapping[str, Any], Loops], None]
    broken: bool = False


SAMPLES: list[Sample] = []


def sample(plan: Plan, batch, broken: bool = False, **sizes: int):
    def add(loops):
        SAMPLES.append(Sample(plan.name, plan, sizes, batch, loops, broken))
        return loops

    return add


def counts(rng, n, most=5, **more):
    return {"n": rng.integers(0, most, n).astype(np.int32), "req": n, **more}


def start(lengths: list[int]) -> list[int]:
    """0 and the sums so far: one more than there are lengths."""
    out = [0]
    for x in lengths:
        out.append(out[-1] + x)
    return out
