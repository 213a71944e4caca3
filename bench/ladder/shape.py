# pyright: basic
"""What is generated, and the step that all loops of the ladder have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

PAD = 0
Generate = Callable[[torch.Tensor], torch.Tensor]
"""From prompts int64[b, n] to int64[b, n + m], until all rows have ended or the limit is reached."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``new`` tokens behind ``prompt`` tokens of ``batch`` rows, or fewer where all sample ``eos``."""

    batch: int
    prompt: int
    new: int
    eos: int = -1

    @property
    def longest(self) -> int:
        return self.prompt + self.new


class Sampler:
    """Greedy: the next token of each row, the pad of rows that have ended, and who has."""

    def __init__(self, rows: int, eos: int, device: torch.device) -> None:
        self.eos = eos
        self.finished = torch.zeros(rows, dtype=torch.bool, device=device)

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """int64[b, 1] from logits [b, n, vocabulary]."""
        token = torch.where(self.finished, PAD, logits[:, -1].argmax(-1))
        self.finished |= token == self.eos
        return token[:, None]
