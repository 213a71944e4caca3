# pyright: basic
"""The outputs of a step: allocated once, found at the same address for ever.

All outputs are views of one arena, not tensors of their own: one allocation to account for, one
base address, one range that a test can fill with a sentinel to see any write beside an output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from metaplan.runtime.layout import NUMPY, Field, Layout, pack

if TYPE_CHECKING:
    import torch

ALIGN = 256
"""Bytes: a multiple of every vector width and of the sector and line sizes of all targets."""
LEAST = 16
"""Bytes: the widest vector. Outputs of a small batch share lines: each layer of a model reads them from memory again,
whose weights have swept the cache."""


class Buffers(Mapping[str, "torch.Tensor"]):
    """Output tensors by name; each is contiguous and its address never changes."""

    def __init__(self, layout: Layout, arena: torch.Tensor, base: int) -> None:
        self.layout = layout
        self.arena = arena
        self._tensors = {field.name: _view(field, layout, arena, base) for field in layout.fields}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def bytes(self) -> int:
        """Device memory that the outputs take, with what alignment adds."""
        return self.layout.bytes

    def sizes(self) -> dict[str, int]:
        """Bytes of each output, as ``explain()`` prints them."""
        return {field.name: field.bytes for field in self.layout.fields}


def allocate(fields: Iterable[Field], device: Any, *, gap: int = 0, align: int = ALIGN) -> Buffers:
    """Zeroed outputs on ``device``, each at a multiple of ``align`` bytes or of its own size, if that is smaller.

    ``gap`` leaves untouched bytes between them for tests.
    """
    import torch

    layout = pack(fields, align=align, gap=gap, least=LEAST)
    arena = torch.zeros(layout.bytes + ALIGN, dtype=torch.uint8, device=device)
    return Buffers(layout, arena, -arena.data_ptr() % ALIGN)


def _view(field: Field, layout: Layout, arena: torch.Tensor, base: int) -> torch.Tensor:
    import torch

    first = base + layout.offsets[field.name]
    dtype = getattr(torch, NUMPY[field.dtype])
    if prod(field.shape) == 0:
        return torch.empty(field.shape, dtype=dtype, device=arena.device)
    return arena[first : first + field.bytes].view(dtype).view(field.shape)
