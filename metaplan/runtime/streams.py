# pyright: basic
"""Streams as the integers that the driver takes: the one that torch calls current, and torch's stream at an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

RawStream = Callable[[int], int]
"""Device index -> address of the stream that is current there."""


def raw_stream() -> RawStream:
    """The cheapest reader that this torch has; one call of it costs some tens of nanoseconds."""
    import torch

    fast = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    return fast if fast is not None else _slow


def stream_at(address: int, device: Any) -> Any:
    """torch's stream on ``device`` that ``raw_stream`` reads as ``address``; 0 is the default one."""
    import torch

    if address == 0:
        return torch.cuda.default_stream(device)
    return torch.cuda.ExternalStream(address, device=device)


def capturing() -> bool:
    """Whether the current stream is being recorded into a graph."""
    import torch

    return torch.cuda.is_current_stream_capturing()


def _slow(index: int) -> int:
    import torch

    return torch.cuda.current_stream(index).cuda_stream
