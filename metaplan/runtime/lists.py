# pyright: basic
"""Lists of tensors on the device: where each one is, in a table that the kernels read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplan.runtime.inputs import Slot
from metaplan.runtime.layout import Field
from metaplan.runtime.movers import mover_for
from metaplan.runtime.staging import Ring

if TYPE_CHECKING:
    import torch


class Tables:
    """The address and the strides of every tensor; sent to the device when one of them changes."""

    def __init__(self, slots: Mapping[str, Slot], device: Any, lag: int) -> None:
        made = {s.name: np.zeros((len(s.members), len(s.capacity) - 1), np.int64)
                for s in slots.values() if s.members}  # fmt: skip
        self.words = made
        self.tensors: dict[str, tuple[torch.Tensor, ...]] = {}
        fields = [Field(name, "i64", words.shape) for name, words in made.items()]
        self.ring = Ring(fields, mover_for(device), lag=lag)

    def address(self, name: str) -> int:
        """Where the table of one list is: the same for ever."""
        return self.ring.address(name)

    def take(self, lists: Mapping[str, tuple[torch.Tensor, ...]]) -> None:
        """Keeps the tensors, and queues the tables on the current stream where one has moved."""
        self.tensors |= lists
        moved = False
        for name, tensors in lists.items():
            for row, tensor in zip(self.words[name], tensors, strict=True):
                found = (tensor.data_ptr(), *tensor.stride()[:-1])
                if tuple(row.tolist()) != found:
                    row[:] = found
                    moved = True
        if moved:
            views = self.ring.begin()
            for name, words in self.words.items():
                views[name][...] = words
            self.ring.commit()
