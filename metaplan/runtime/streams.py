# pyright: basic
"""The stream that torch calls current, as the integer that the driver takes."""

from __future__ import annotations

from collections.abc import Callable

RawStream = Callable[[int], int]
"""Device index -> address of the stream that is current there."""


def raw_stream() -> RawStream:
    """The cheapest reader that this torch has; one call of it costs some tens of nanoseconds."""
    import torch

    fast = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    return fast if fast is not None else _slow


def capturing() -> bool:
    """Whether the current stream is being recorded into a graph."""
    import torch

    return torch.cuda.is_current_stream_capturing()


def _slow(index: int) -> int:
    import torch

    return torch.cuda.current_stream(index).cuda_stream
