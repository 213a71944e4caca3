"""Runs the shipped plans over the frames of a trace and compares every buffer with the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metaplan.replay.batches import Frame, Inputs, frames
from metaplan.replay.compiled import compiled
from metaplan.replay.reference import Reference
from metaplan.replay.settings import Settings
from metaplan.replay.sides import Side
from metaplan.replay.tables import Tables
from metaplan.replay.trace import Trace

if TYPE_CHECKING:
    from tests.oracles import Expected

Buffers = Mapping[str, NDArray[Any]]
PLANS = ("paged_decode", "engine_step", "post_update", "v4_decode")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One plan in one step: how long it took, what it wrote and where it was wrong."""

    plan: str
    step: int
    host_us: float
    gpu_us: float | None
    bytes: int
    mismatches: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ran:
    """One step of the trace and the outcome of each plan that had rows in it."""

    frame: Frame
    outcomes: tuple[Outcome, ...]


class Replay:
    """The plans' steps with their buffers, the tables that they share, and the oracle's mirror."""

    def __init__(self, settings: Settings, side: Side) -> None:
        self.settings, self.side = settings, side
        self.reference = Reference(settings)
        self.plans = compiled(settings, side.device)
        self.tables = Tables(settings)
        self.held = {name: side.put(array) for name, array in self.tables.arrays.items()}
        # post_update reads the cuts where engine_step leaves them, as an engine does.
        self.held["query_start_loc"] = self.plans["engine_step"].step.query_start_loc
        for plan, buffers in self.reference.before.items():
            for name, array in buffers.items():
                side.write(getattr(self.plans[plan].step, name), slice(0, len(array)), array)

    def run(self, trace: Trace) -> Iterator[Ran]:
        """Every step of ``trace``, in order."""
        for frame in frames(trace, self.settings):
            self._patch(frame)
            before = [
                self._outcome(plan, frame, inputs)
                for plan in self.reference.before
                if (inputs := getattr(frame, plan)) is not None
            ]
            after = self._post_update(frame)
            self.tables.advance(frame.post_update)
            yield Ran(frame, (*before, after))

    def _outcome(self, plan: str, frame: Frame, inputs: Inputs) -> Outcome:
        step = self.plans[plan].step
        host, gpu = self._call(plan, inputs)
        expected = self.reference.expect(plan, inputs)
        actual = {name: self.side.fetch(getattr(step, name)) for name in expected.values}
        wrong = self._wrong(expected, actual)
        return Outcome(plan, frame.step.index, host, gpu, _specified(expected), wrong)

    def _post_update(self, frame: Frame) -> Outcome:
        host, gpu = self._call("post_update", frame.post_update)
        before = self.tables.arrays
        expected = self.reference.expect_post_update(frame.post_update, before)
        actual = {name: self.side.fetch(self.held[name]) for name in expected.values}
        wrong = self._wrong(expected, actual)
        return Outcome(
            "post_update", frame.step.index, host, gpu, _changed(expected, before), wrong
        )

    def _wrong(self, expected: Expected, actual: Buffers) -> tuple[str, ...]:
        return tuple(str(found) for found in self.reference.compare(expected, actual))

    def _call(self, plan: str, inputs: Inputs) -> tuple[float, float | None]:
        """Calls a plan with this frame's inputs; tables are those that are held at the side."""
        chosen = self.plans[plan]
        given = chosen.arguments(inputs, self.held, self.side.put)
        return self.side.timed(lambda: chosen.step(**given))

    def _patch(self, frame: Frame) -> None:
        """Writes new prompts and pages into the held tables, as an engine's host does."""
        self.tables.patch(frame.step)
        states = np.array([admission.state for admission in frame.step.admitted], np.int64)
        for name, array in self.tables.arrays.items():
            if name.startswith("num_blocks"):
                self.side.write(self.held[name], slice(None), array)
            elif len(states) and not name.startswith("block_table"):
                self.side.write(self.held[name], states, array[states])
        for g, writes in enumerate(frame.step.page_writes):
            where = (writes.state, writes.column)
            self.side.write(self.held[f"block_table_{g}"], where, writes.page)


def _specified(expected: Expected) -> int:
    """Bytes of the cells that the oracle specifies: what the step had to produce."""
    total = 0
    for name, value in expected.values.items():
        match expected.specified[name]:
            case int() as rows:
                total += value[:rows].nbytes
            case cells:
                total += int(np.count_nonzero(cells)) * value.itemsize
    return total


def _changed(expected: Expected, before: Buffers) -> int:
    """Bytes of the cells of the tables that the step changed."""
    return sum(
        int(np.count_nonzero(value != before[name])) * value.itemsize
        for name, value in expected.values.items()
    )
