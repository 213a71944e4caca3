# pyright: basic
"""What the steps produced, read late: the commit kernel writes it to pinned memory, an event says when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from metaplan.loop.request import Request
from metaplan.plans.decode_loop import ENDED


@dataclass(frozen=True, slots=True)
class Produced:
    """What one step produced.

    Attributes:
        step: its number, from 0.
        requests: those that ran, one a row of the arrays.
        counts: int32[n], tokens of each.
        tokens: int32[n, q], of which the first ``counts`` hold.
        ended: bool[n], whether the request is over.
    """

    step: int
    requests: list[Request]
    counts: NDArray[np.int32]
    tokens: NDArray[np.int32]
    ended: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.requests)

    def __iter__(self) -> Iterator[tuple[Request, list[int], bool]]:
        tokens, ended = self.tokens.tolist(), self.ended.tolist()
        if (self.counts != self.tokens.shape[1]).any():
            pairs = zip(tokens, self.counts.tolist(), strict=True)
            tokens = [some[:count] for some, count in pairs]
        return zip(self.requests, tokens, ended, strict=True)


class Results:
    """``slots`` steps of results in pinned memory, each with the event behind its step."""

    def __init__(self, slots: int, rows: int, queries: int, device: torch.device) -> None:
        self.slots = slots
        on_gpu = device.type == "cuda"
        self.tensor = torch.zeros(slots, rows, queries + 1, dtype=torch.int32, pin_memory=on_gpu)
        self._array = self.tensor.numpy()
        self._events: list[Any] = [torch.cuda.Event() for _ in range(slots)] if on_gpu else []

    def launched(self, step: int) -> None:
        """Step ``step`` has been queued on the current stream."""
        if self._events:
            self._events[step % self.slots].record()

    def ready(self, step: int) -> bool:
        """Whether the results of ``step`` are there; never waits."""
        return not self._events or self._events[step % self.slots].query()

    def read(self, step: int) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32]]:
        """Counts int32[rows], ended bool[rows], tokens int32[rows, q] of a step; waits for it where it must."""
        if self._events:
            self._events[step % self.slots].synchronize()
        told = self._array[step % self.slots].copy()
        return told[:, 0] % ENDED, told[:, 0] >= ENDED, told[:, 1:]
