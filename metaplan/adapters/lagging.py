# pyright: basic
"""A number of each step that the host reads some steps late, so that the GPU never waits for it."""

from __future__ import annotations

import torch


class Lagging:
    """A ring of ``lag + 1`` pinned numbers, each with the event behind its copy.

    ``push(i)`` sends the number of step ``i``; ``read(i)`` waits for that step only. Between the two
    there may be at most ``lag`` further pushes.
    """

    def __init__(self, number: torch.Tensor, lag: int) -> None:
        self.number = number
        self.lag = lag
        on_gpu = number.is_cuda
        slots = torch.zeros(lag + 1, dtype=number.dtype, pin_memory=on_gpu)
        self.cells, self.array = slots.split(1), slots.numpy()
        self.events = [torch.cuda.Event() for _ in range(lag + 1)] if on_gpu else None

    def push(self, step: int) -> None:
        """Copies the number behind all that is queued on the current stream."""
        slot = step % (self.lag + 1)
        self.cells[slot].copy_(self.number, non_blocking=True)
        if self.events is not None:
            self.events[slot].record()

    def read(self, step: int) -> int:
        """The number as ``step`` left it."""
        slot = step % (self.lag + 1)
        if self.events is not None:
            self.events[slot].synchronize()
        return int(self.array[slot])
