# pyright: basic
"""Tensors of the CPU that say that they are on a GPU, for engine code that takes no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def as_cuda(device: str) -> Iterator[None]:
    """Within, ``tensor.is_cuda`` holds on the CPU too; on a GPU nothing is changed."""
    if device != "cpu":
        yield
        return
    torch.Tensor.is_cuda = property(lambda _: True)  # pyright: ignore
    try:
        yield
    finally:
        del torch.Tensor.is_cuda
