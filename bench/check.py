# pyright: basic
"""Whether a side filled every buffer as the oracle says: buffers full of garbage before, all cells compared after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from bench.workloads import Workload

Tensors = dict[str, torch.Tensor]


class Judge:
    """What the oracle expects of one workload, kept on the device; knows how to put the buffers back."""

    def __init__(self, workload: Workload, device: str) -> None:
        self.workload, self.device = workload, device
        before = workload.empty()
        expected = workload.oracle(before)
        self.before = {name: self._tensor(value) for name, value in before.items()}
        self.values = {name: self._tensor(value) for name, value in expected.values.items()}
        self.specified = {
            name: said if isinstance(said, int) else self._tensor(said)
            for name, said in expected.specified.items()
        }

    def _tensor(self, value: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(value)).to(self.device)

    def buffers(self) -> Tensors:
        """Output buffers at capacity (or the state tables), as a step may find them."""
        return {name: value.clone() for name, value in self.before.items()}

    def reset(self, out: Mapping[str, torch.Tensor]) -> None:
        """Puts back what the buffers (and the state tables) held before any step; cells beyond them stay."""
        for name, value in self.before.items():
            if name not in out:
                continue
            inside = tuple(slice(0, n) for n in value.shape)
            (out[name].view(1) if value.numel() == 1 else out[name][inside]).copy_(value)

    def wrong(self, out: Mapping[str, torch.Tensor]) -> list[str]:
        """One line for each output that is not what it must be."""
        found = [self._one(name, value, out.get(name)) for name, value in self.values.items()]
        return [line for line in found if line]

    def _one(self, name: str, value: torch.Tensor, actual: torch.Tensor | None) -> str:
        if actual is None:
            return f"{name}: there is no such output"
        if actual.dtype != value.dtype:
            return f"{name}: dtype is {actual.dtype}, expected {value.dtype}"
        if value.numel() == actual.numel() == 1:
            actual = actual.view(value.shape)
        said = self.specified[name]
        rows = said if isinstance(said, int) else len(value)
        inside = (slice(0, rows), *(slice(0, size) for size in value.shape[1:]))
        differs = actual[inside] != value[:rows]
        if not isinstance(said, int):
            differs &= said
        cells = int(differs.sum())
        if not cells:
            return ""
        at = tuple(int(i) for i in differs.nonzero()[0])
        return f"{name}{list(at)} is {int(actual[at])}, expected {int(value[at])} ({cells} cells differ)"


def on_device(given: Mapping[str, Any], device: str) -> Tensors:
    """Arrays as tensors, integers as ``int32[1]``."""
    return {
        name: torch.tensor([value], dtype=torch.int32, device=device)
        if isinstance(value, int)
        else torch.from_numpy(value).to(device)
        for name, value in given.items()
    }
