# pyright: basic
"""Lists of tensors on the device: where each one is, in a table that the kernels read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplan import catalogue
from metaplan.runtime.inputs import Slot
from metaplan.runtime.layout import Field
from metaplan.runtime.movers import mover_for
from metaplan.runtime.staging import Ring

if TYPE_CHECKING:
    import torch


def words(tensor: torch.Tensor) -> tuple[int, ...]:
    """What a table has of one tensor: its address and the strides of its rows."""
    return (tensor.data_ptr(), *tensor.stride()[:-1])


def addresses(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """int64[len(tensors), dimensions]: the table of a list, on its device."""
    import torch

    table = torch.tensor([words(t) for t in tensors], dtype=torch.int64)
    return table.to(tensors[0].device)


def capturing() -> bool:
    """Whether a CUDA graph is being captured on the current stream."""
    import torch

    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


class Tables:
    """The address and the strides of every tensor; sent to the device when one of them changes."""

    def __init__(self, slots: Mapping[str, Slot], device: Any, lag: int) -> None:
        made = {s.name: np.zeros((len(s.members), len(s.capacity) - 1), np.int64)
                for s in slots.values() if s.members}  # fmt: skip
        self.tables = made
        self.tensors: dict[str, tuple[torch.Tensor, ...]] = {}
        fields = [Field(name, "i64", table.shape) for name, table in made.items()]
        self.ring = Ring(fields, mover_for(device), lag=lag)

    def address(self, name: str) -> int:
        """Where the table of one list is: the same for ever."""
        return self.ring.address(name)

    def take(self, lists: Mapping[str, tuple[torch.Tensor, ...]]) -> None:
        """Keeps the tensors, and queues the tables on the current stream where one has moved."""
        fresh = {name: np.array([words(t) for t in tensors]) for name, tensors in lists.items()}
        moved = [name for name, table in fresh.items() if (table != self.tables[name]).any()]
        if moved:
            if capturing():
                raise catalogue.listed_in_capture(moved[0])
            self.tables |= fresh
            views = self.ring.begin()
            for name, table in self.tables.items():
                views[name][...] = table
            self.ring.commit()
        self.tensors |= lists
