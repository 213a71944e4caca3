# pyright: basic
"""Where a replay's plans run: tensors in the host's memory, or on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Side:
    """A device that holds tables, takes inputs, and times a call."""

    device: str

    def put(self, array: Array) -> Any:
        """A tensor there with a copy of ``array``."""
        import torch

        return torch.from_numpy(np.array(array)).to(self.device)

    def fetch(self, held: Any) -> Array:
        """What is held there, as NumPy."""
        return held.cpu().numpy()

    def write(self, held: Any, index: Any, values: Array) -> None:
        """``held[index] = values`` there; indices are slices or integer arrays."""
        places = index if isinstance(index, tuple) else (index,)
        at = tuple(self.put(place) if isinstance(place, np.ndarray) else place for place in places)
        held[at] = self.put(values).to(held.dtype)

    def timed(self, call: Callable[[], object]) -> tuple[float, float | None]:
        """Microseconds of the host in the call, and of the GPU where there is one."""
        return _on_host(call) if self.device == "cpu" else _on_gpu(call)


def side(device: str | None = None) -> Side:
    """The side called ``device``; the GPU where there is one if none is named."""
    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return Side(device)


def _on_host(call: Callable[[], object]) -> tuple[float, None]:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e6, None


def _on_gpu(call: Callable[[], object]) -> tuple[float, float]:
    import torch

    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    host, _ = _on_host(call)
    last.record()
    last.synchronize()
    return host, first.elapsed_time(last) * 1e3
