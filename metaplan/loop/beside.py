# pyright: basic
"""The next step's fields, written beside the end of the model: on a branch of the graph, or in front of what follows."""

from __future__ import annotations

from collections.abc import Callable

import torch

from metaplan.loop.plans import Plans
from metaplan.runtime.branch import Branch
from metaplan.runtime.step import Step

Run = Callable[[Step], None]
"""How a plan takes part in a step: recorded (``emit``) or called."""


class Beside:
    """``release`` starts the plans that need counts alone; ``join`` waits for them, and starts them where nobody did."""

    def __init__(self, plans: Plans, device: torch.device) -> None:
        self.plans = plans
        self._branch = Branch(device) if device.type == "cuda" and plans.beside else None
        self._run: Run | None = None

    def start(self, run: Run) -> None:
        """A step begins; its plans are run by ``run``."""
        self._run = run

    def release(self) -> None:
        """Nothing that follows in this step reads positions, slots, lengths or the block table."""
        if self._run is None:
            return
        run, self._run = self._run, None
        if self._branch is None:
            self._all(run)
            return
        with self._branch:
            self._all(run)

    def join(self) -> None:
        self.release()
        if self._branch is not None:
            self._branch.join()

    def _all(self, run: Run) -> None:
        for step in self.plans.beside:
            run(step)
