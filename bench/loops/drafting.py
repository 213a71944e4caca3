# pyright: basic
"""A stand-in for speculative decoding: known counts of accepted drafts, known times, and what every step must see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SIDE = 4096  # of the square matrices whose products take the time of a model
PAGE = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """``rows`` requests that verify ``drafts`` tokens a step; ``verify`` and ``draft`` are matrix products."""

    rows: int
    drafts: int
    steps: int
    verify: int = 12
    draft: int = 1
    """For each draft token."""

    @property
    def queries(self) -> int:
        return self.drafts + 1

    @property
    def tokens(self) -> int:
        return self.rows * self.queries


class Drafting:
    """The model's part of a step, on the device; the same for every side.

    Step n accepts ``accepted[n]``: between 1 and K + 1 tokens of each row, which the host learns from the device only.
    What the model is given is kept in a log.
    """

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape, self.device = shape, device
        rng = np.random.default_rng([shape.rows, shape.drafts])
        self.first = rng.integers(100, 400, shape.rows, np.int32)
        self.accepted = rng.integers(1, shape.queries + 1, (shape.steps, shape.rows), np.int32)
        self.longest = 400 + (shape.steps + 8) * shape.queries
        self.width = -(-self.longest // PAGE) + 1
        self.pages = shape.rows * self.width + 1
        on_device = torch.from_numpy(self.accepted).to(device)
        self.table = on_device
        self.turn = torch.zeros(1, dtype=torch.int64, device=device)
        self.counts = torch.zeros(shape.rows, dtype=torch.int32, device=device)
        self.log = torch.zeros(2, shape.steps, shape.tokens, dtype=torch.int64, device=device)
        self.load = None
        if device != "cpu":
            made = torch.randn(2, SIDE, SIDE, device=device, dtype=torch.bfloat16)
            self.load = (made[0], made[1], torch.empty_like(made[0]))

    def reset(self) -> None:
        self.turn.zero_()
        self.log.zero_()

    def verify(self, positions: torch.Tensor, slot_mapping: torch.Tensor) -> torch.Tensor:
        """One pass over all query tokens; how many of each row's hold: int32[rows]."""
        at = self.turn % self.shape.steps
        self.log[0].index_copy_(0, at, positions[None].long())
        self.log[1].index_copy_(0, at, slot_mapping[None].long())
        self.work(self.shape.verify)
        self.counts.copy_(self.table.index_select(0, at)[0])
        self.turn.add_(1)
        return self.counts

    def draft(self) -> None:
        """The drafts of the next step, one after the other."""
        self.work(self.shape.draft * self.shape.drafts)

    def work(self, products: int) -> None:
        if self.load is not None:
            first, second, out = self.load
            for _ in range(products):
                torch.mm(first, second, out=out)

    # ------------------------------------------------------------ what must be

    def lengths(self, step: int) -> np.ndarray:
        """int64[rows]: tokens in the cache when ``step`` begins."""
        return self.first + self.accepted[:step].sum(0, dtype=np.int64)

    def wrong(self, tables: np.ndarray, steps: int) -> list[str]:
        """Positions and slots of each step beside what they must be, for block tables int32[rows, pages]."""
        found = []
        log = self.log.cpu().numpy()
        row = np.arange(self.shape.rows)[:, None]
        for step in range(steps):
            positions = self.lengths(step)[:, None] + np.arange(self.shape.queries)
            slots = tables[row, positions // PAGE].astype(np.int64) * PAGE + positions % PAGE
            for name, seen, due in zip(("position", "slot"), log, (positions, slots), strict=True):
                bad = np.flatnonzero(seen[step] != due.ravel())
                if bad.size:
                    at = int(bad[0])
                    told = f"{seen[step, at]}, not {due.ravel()[at]}"
                    found.append(f"step {step}, token {at}: {name} {told} ({bad.size} tokens)")
        return found
