# pyright: basic
"""Where a replay's plans run: NumPy arrays on the host, or tensors on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Side(Protocol):
    """A place that holds tables, takes inputs, and times a call."""

    device: str

    def put(self, array: Array) -> Any:
        """The array as a plan's device input takes it; a copy of its own."""
        ...

    def fetch(self, held: Any) -> Array:
        """What is held there, as NumPy."""
        ...

    def write(self, held: Any, index: Any, values: Any) -> None:
        """``held[index] = values`` there."""
        ...

    def timed(self, call: Callable[[], object]) -> tuple[float, float | None]:
        """Host microseconds of the call, and GPU microseconds where there is a GPU."""
        ...


class HostSide:
    """Everything stays in NumPy."""

    device = "cpu"

    def put(self, array: Array) -> Any:
        return np.array(array)

    def fetch(self, held: Any) -> Array:
        return np.asarray(held)

    def write(self, held: Any, index: Any, values: Any) -> None:
        held[index] = values

    def timed(self, call: Callable[[], object]) -> tuple[float, float | None]:
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e6, None


class GpuSide:
    """Tables and inputs are tensors on the current GPU."""

    device = "cuda"

    def put(self, array: Array) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to("cuda")

    def fetch(self, held: Any) -> Array:
        return held.cpu().numpy()

    def write(self, held: Any, index: Any, values: Any) -> None:
        import torch

        places = index if isinstance(index, tuple) else (index,)
        at = tuple(
            torch.as_tensor(i, device="cuda") if isinstance(i, np.ndarray) else i for i in places
        )
        held[at] = torch.as_tensor(values, dtype=held.dtype, device="cuda")

    def timed(self, call: Callable[[], object]) -> tuple[float, float | None]:
        import torch

        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
        start = time.perf_counter()
        call()
        host = (time.perf_counter() - start) * 1e6
        last.record()
        last.synchronize()
        return host, first.elapsed_time(last) * 1e3


def side(device: str | None = None) -> Side:
    """The side called ``device``; the GPU where there is one if none is named."""
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return HostSide() if device == "cpu" else GpuSide()
