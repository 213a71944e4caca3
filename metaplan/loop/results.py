# pyright: basic
"""What the steps produced, read late: copied to pinned memory beside the next step, an event says when it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metaplan.loop.request import Request
from metaplan.plans.decode_loop import ENDED
from metaplan.runtime.fetches import fetch_for


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
    """``slots`` steps of results on the device, and the same in pinned memory, each with the event behind its copy."""

    def __init__(self, slots: int, rows: int, queries: int, device: torch.device) -> None:
        self.slots = slots
        shape = (slots, rows, queries + 1)
        self.tensor = torch.zeros(shape, dtype=torch.int32, device=device)
        pinned = device.type == "cuda"
        kept = torch.zeros(shape, dtype=torch.int32, pin_memory=True) if pinned else self.tensor
        self._array = kept.numpy()
        self._fetch = fetch_for(self.tensor, kept)
        self._row = 4 * (queries + 1)

    def launched(self, step: int, rows: int) -> None:
        """Step ``step`` of the first ``rows`` rows has been queued on the current stream."""
        if self._fetch is not None:
            self._fetch.queue(step % self.slots, rows * self._row)

    def read(
        self, step: int, rows: int
    ) -> tuple[NDArray[np.int32], NDArray[np.bool_], NDArray[np.int32]]:
        """Counts int32[rows], ended bool[rows], tokens int32[rows, q] of a step; waits for it where it must.

        Rows that the step did not run hold anything.
        """
        if self._fetch is not None:
            self._fetch.wait(step % self.slots)
        told = self._array[step % self.slots, :rows].copy()
        heads = told[:, 0]
        return heads % ENDED, heads >= ENDED, told[:, 1:]
