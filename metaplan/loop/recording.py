# pyright: basic
"""A step of a loop as one CUDA graph for each number of rows; on a CPU, as a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from metaplan import catalogue
from metaplan.loop.batch import Batch, Sampled
from metaplan.loop.beside import Beside, Run
from metaplan.loop.plans import Plans
from metaplan.runtime.capture import captured
from metaplan.runtime.step import Step

Forward = Callable[[Batch], "torch.Tensor | Sampled"]


def buckets_for(rows: int) -> tuple[int, ...]:
    """Powers of two, then ``rows``."""
    powers = [1 << i for i in range(rows.bit_length()) if 1 << i < rows]
    return (*powers, rows)


class Recording:
    """The model between its plans, for each bucket."""

    def __init__(
        self, plans: Plans, batches: Sequence[Batch], forward: Forward, beside: Beside
    ) -> None:
        self.plans, self.forward, self.beside = plans, forward, beside
        self.runs: list[tuple[int, Callable[[], None]]] = []
        pool: Any = None
        # The largest first: the smaller ones then fit into its memory.
        for batch in sorted(batches, key=lambda b: -b.rows):
            if batch.input_ids.device.type == "cpu":
                self.runs.insert(0, (batch.rows, partial(self._step, batch, _call)))
                continue
            graph = captured(partial(self._step, batch, _emit), pool=pool)
            pool = graph.pool()
            self.runs.insert(0, (batch.rows, graph.replay))

    def run(self, rows: int) -> None:
        """One step of the smallest bucket that has ``rows`` rows."""
        for most, step in self.runs:
            if most >= rows:
                step()
                return
        raise AssertionError(f"{rows} rows, the largest graph has {self.runs[-1][0]}")

    def _step(self, batch: Batch, run: Run) -> None:
        for step in self.plans.front:
            run(step)
        self.beside.start(run)
        self._sampled(batch)
        self.beside.join()
        for step in self.plans.back:
            run(step)

    def _sampled(self, batch: Batch) -> None:
        """Runs the model; what it returned is where the commit plan reads it."""
        given = self.forward(batch)
        sampled = given if isinstance(given, Sampled) else Sampled(given)
        plans, rows = self.plans, batch.rows
        _put(plans.samples[:rows], sampled.tokens, "tokens")
        if sampled.counts is not None:
            _put(plans.counts[:rows], sampled.counts, "counts")
        if sampled.drafts is not None:
            _put(plans.next_drafts[:rows], sampled.drafts, "drafts")


def _call(step: Step) -> None:
    step()


def _emit(step: Step) -> None:
    step.emit()


def _put(where: torch.Tensor, given: object, name: str) -> None:
    if not isinstance(given, torch.Tensor):
        raise catalogue.model_returned(name, tuple(where.shape), f"a {type(given).__name__}")
    if given.dtype != where.dtype or given.numel() != where.numel():
        raise catalogue.model_returned(
            name, tuple(where.shape), f"{given.dtype} of shape {tuple(given.shape)}"
        )
    if given.data_ptr() != where.data_ptr():
        where.copy_(given.view(where.shape))
