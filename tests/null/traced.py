"""Traces as torch's profiler writes them, made by hand: a loop that waits, and one that runs ahead."""

from __future__ import annotations

import gzip
import json
from itertools import count
from pathlib import Path
from typing import Any

HOST = 77
Event = dict[str, Any]


class Made:
    """Events, one after the other; times in us."""

    def __init__(self) -> None:
        self.events: list[Event] = [{"ph": "M", "name": "process_name", "pid": HOST, "args": {}}]
        self.numbers = count(1)

    def add(self, category: str, name: str, start: float, end: float, **given: Any) -> None:
        self.events.append(
            {"ph": "X", "cat": category, "name": name, "pid": HOST, "tid": HOST,
             "ts": 1e12 + start, "dur": end - start, "args": given}
        )  # fmt: skip

    def mark(self, name: str, start: float, end: float | None = None) -> None:
        self.add("user_annotation", name, start, start if end is None else end)

    def call(self, name: str, start: float, end: float) -> int:
        """Its correlation."""
        number = next(self.numbers)
        self.add("cuda_runtime", name, start, end, cbid=1, correlation=number)
        return number

    def work(self, name: str, start: float, end: float, correlation: int, stream: int = 7) -> None:
        category = next((c for p, c in _KINDS.items() if name.startswith(p)), "kernel")
        self.add(category, name, start, end, device=0, stream=stream, correlation=correlation)

    def whole(self) -> dict[str, Any]:
        return {"schemaVersion": 1, "traceEvents": self.events}

    def write(self, path: Path) -> Path:
        text = json.dumps(self.whole()).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return path


_KINDS = {"Memcpy": "gpu_memcpy", "Memset": "gpu_memset"}


def waiting(steps: int = 4) -> Made:
    """Steps of 100 us: a launch, 40 us of GPU work, a pageable copy of 2 us, a wait until it is done."""
    made = Made()
    for step in range(steps):
        at = 100.0 * step
        made.mark("metaplan.step", at)
        made.work("gemm", at + 12, at + 52, made.call("cudaLaunchKernel", at + 5, at + 10))
        made.mark(
            "metaplan.at Tensor.item | loop.py:12 in sample | loop.py:30 in <module>",
            at + 14,
            at + 62,
        )
        copy = made.call("cudaMemcpyAsync", at + 15, at + 20)
        made.work("Memcpy DtoH (Device -> Pageable)", at + 52, at + 54, copy)
        made.call("cudaStreamSynchronize", at + 21, at + 60)
    made.mark("metaplan.step", 100.0 * steps)
    return made


def ahead(steps: int = 4) -> Made:
    """Steps of 20 us on the host, each a graph of 2 kernels: 80 us of GPU work without a gap."""
    made = Made()
    for step in range(steps):
        at = 20.0 * step
        made.mark("metaplan.step", at)
        graph = made.call("cudaGraphLaunch", at + 2, at + 12)
        made.work("prepare", 10 + 80 * step, 40 + 80 * step, graph)
        made.work("attention", 40 + 80 * step, 90 + 80 * step, graph)
    made.mark("metaplan.step", 20.0 * steps)
    return made
