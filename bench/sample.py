# pyright: basic
"""Evidence without a GPU: steps of a real trace, each plan's meaning and its kernel beside the loops of the oracle.

    TRITON_INTERPRET=1 python -m bench.sample TRACE.csv --steps 5000 --every 200 --out bench/results/sample.json

Every N-th step of the first ``--steps`` is taken. Its buffers start full of garbage, the same for both sides and for the
oracle; after it all cells that the oracle specifies are compared, tails and cells that are kept included.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton

from metaplan.checking.kernels import launch
from metaplan.cli.progress import tracked
from metaplan.machine import machine
from metaplan.replay import Frame, Reference, Settings, Trace, frames, read
from metaplan.replay.compiled import Compiled, compiled
from metaplan.replay.oracles import oracles
from metaplan.replay.run import PLANS
from metaplan.replay.tables import Tables
from tests.oracles import Expected
from tests.running import garbage_buffers

Arrays = dict[str, np.ndarray]
Run = Callable[[Compiled, Mapping[str, Any], Arrays, Arrays], int]
"""Fills states and buffers in place; the number of broken promises."""


@dataclass(slots=True)
class Totals:
    """One side of one plan: outputs and cells that were compared, and outputs that differed."""

    frames: int = 0
    comparisons: int = 0
    cells: int = 0
    broken_promises: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, expected: Expected, wrong: list[str]) -> None:
        self.frames += 1
        self.comparisons += len(expected.values)
        self.cells += specified_cells(expected)
        self.wrong += wrong

    def json(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "comparisons": self.comparisons,
            "cells": self.cells,
            "mismatches": len(self.wrong),
            "first_mismatches": self.wrong[:5],
            "broken_promises": self.broken_promises,
            "seconds": round(self.seconds, 1),
        }


def specified_cells(expected: Expected) -> int:
    """Cells of which the oracle says something."""
    return sum(
        value[:said].size if isinstance(said, int) else int(np.count_nonzero(said))
        for value, said in ((v, expected.specified[n]) for n, v in expected.values.items())
    )


class Sample:
    """The shipped plans at a replay's capacities, and what the loops say of a frame."""

    def __init__(self, settings: Settings) -> None:
        self.plans = compiled(settings, "cpu")
        self.reference = Reference(settings, "loop")
        self.totals = {plan: {side: Totals() for side in SIDES} for plan in PLANS}

    def check(self, frame: Frame, tables: Arrays) -> None:
        """Both sides of every plan that has rows in ``frame``."""
        for plan in PLANS:
            inputs = getattr(frame, plan)
            if inputs is not None:
                self._check(plan, frame.step.index, inputs, tables)

    def _check(self, plan: str, index: int, inputs: Mapping[str, Any], tables: Arrays) -> None:
        one = self.plans[plan]
        bound = one.step.built.bound
        states = {i.name: tables[i.name] for i in bound.inputs if i.state}
        before = garbage_buffers(bound, index)
        expected = self._expected(plan, inputs, states, before)
        for side, run in SIDES.items():
            made, held = _copies(before), _copies(states)
            total, start = self.totals[plan][side], time.perf_counter()
            total.broken_promises += run(one, inputs, held, made)
            total.seconds += time.perf_counter() - start
            wrong = [str(m) for m in oracles().compare(expected, made | held)]
            total.add(expected, [f"step {index}: {words}" for words in wrong])

    def _expected(
        self, plan: str, inputs: Mapping[str, Any], states: Arrays, before: Arrays
    ) -> Expected:
        """The oracle's buffers are the leading rows of the plan's."""
        if plan == "post_update":
            return self.reference.expect_post_update(inputs, states)
        sizes = {name: len(array) for name, array in self.reference.before[plan].items()}
        leading = {name: before[name][:size].copy() for name, size in sizes.items()}
        return self.reference.expect(plan, inputs, leading)


def _meaning(one: Compiled, inputs: Mapping[str, Any], states: Arrays, buffers: Arrays) -> int:
    """The step that a user gets with device="cpu"."""
    step = one.step
    held = {name: torch.from_numpy(array) for name, array in states.items()}
    for name, buffer in buffers.items():
        step.arrays[name][...] = buffer
    already = sum(step.flags().values())
    step(**one.arguments(inputs, held, lambda array: torch.from_numpy(array.copy())))
    for name, buffer in buffers.items():
        buffer[...] = step.arrays[name]
    return sum(step.flags().values()) - already


def _kernel(one: Compiled, inputs: Mapping[str, Any], states: Arrays, buffers: Arrays) -> int:
    """The generated kernel under triton's interpreter."""
    plan = one.step.built.bound
    given = one.arguments(inputs, states, lambda array: array.copy())
    live = {name: int(given[name]) for name in plan.root_names()}
    arrays = {i.name: np.array(given[i.name], i.dtype.value, ndmin=1) for i in plan.inputs}
    flags = launch(one.step.built, arrays, live, buffers)
    for name, state in states.items():
        state[...] = arrays[name]
    return flags


SIDES: dict[str, Run] = {"interp": _meaning, "kernel": _kernel}


def _copies(arrays: Arrays) -> Arrays:
    return {name: array.copy() for name, array in arrays.items()}


def sampled(
    trace: Trace, settings: Settings, steps: int, every: int
) -> Iterator[tuple[Frame, Arrays]]:
    """Every N-th frame of the first ``steps``, and the engine's tables as they then are."""
    tables = Tables(settings)
    for frame in islice(frames(trace, settings), steps):
        tables.patch(frame.step)
        if frame.step.index % every == every - 1:
            yield frame, tables.arrays
        tables.advance(frame.post_update)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "trace", type=Path, help="columns TIMESTAMP, ContextTokens, GeneratedTokens"
    )
    parser.add_argument("--steps", type=int, default=5000, help="consecutive steps that are walked")
    parser.add_argument("--every", type=int, default=200, help="one of so many steps is compared")
    parser.add_argument("--out", type=Path, help="where the JSON goes; else to the terminal")
    asked = parser.parse_args()
    if not triton.knobs.runtime.interpret:
        raise SystemExit("set TRITON_INTERPRET=1: the kernels run in triton's interpreter here")
    trace, settings = read(asked.trace), Settings()
    sample = Sample(settings)
    taken = sampled(trace, settings, asked.steps, asked.every)
    for frame, tables in tracked(taken, trace.name, asked.steps // asked.every):
        sample.check(frame, tables)
    told = json.dumps(report(trace.name, asked.steps, sample), indent=2) + "\n"
    print(told) if asked.out is None else asked.out.write_text(told)


def report(trace: str, steps: int, sample: Sample) -> dict[str, Any]:
    """What was compared with what, and what differed."""
    on = machine()
    every = [total for sides in sample.totals.values() for total in sides.values()]
    return {
        "trace": trace,
        "machine": on | {"command": f"TRITON_INTERPRET=1 {on['command']}"},
        "steps": steps,
        "frames": max(total.frames for total in every),
        "comparisons": sum(total.comparisons for total in every),
        "cells": sum(total.cells for total in every),
        "mismatches": sum(len(total.wrong) for total in every),
        "broken_promises": sum(total.broken_promises for total in every),
        "plans": {
            plan: {side: total.json() for side, total in sides.items()}
            for plan, sides in sample.totals.items()
        },
    }


if __name__ == "__main__":
    main()
