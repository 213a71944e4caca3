# pyright: basic
"""How long a call takes the host and the GPU, and what it asks of the driver."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

Call = Callable[[], Any]


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def awake() -> None:
    """Some milliseconds of work, so that the GPU is at its clock when the measurement begins."""
    some = torch.ones(4096, 4096, dtype=torch.bfloat16, device="cuda")
    for _ in range(12):
        some @ some


def cpu_us(call: Call, calls: int = 200, repeats: int = 9, warmup: int = 20) -> float:
    """Host microseconds of one call, in a loop that does not wait for the GPU: median of ``repeats`` loops.

    A loop that queues more than the driver takes (about a thousand launches) would measure the GPU instead: choose
    ``calls`` such that calls x launches stays below that.
    """
    for _ in range(warmup):
        call()
    took = []
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        for _ in range(repeats):
            synchronize()
            start = time.perf_counter_ns()
            for _ in range(calls):
                call()
            took.append((time.perf_counter_ns() - start) / calls / 1e3)
    finally:
        if gc_was_on:
            gc.enable()
    synchronize()
    return statistics.median(took)


def capture(call: Call, calls: int = 1) -> torch.cuda.CUDAGraph:
    """``calls`` calls recorded in one CUDA graph, after three calls outside it on the capturing stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    return graph


def graph_us(call: Call, calls: int = 50, repeats: int = 15) -> float:
    """GPU microseconds of one call inside a CUDA graph of ``calls`` of them: median of ``repeats`` replays."""
    graph = capture(call, calls)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    took = []
    for _ in range(repeats):
        graph.replay()  # the timed one follows a full queue: its launch is no part of it
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        took.append(start.elapsed_time(end) / calls * 1e3)
    return statistics.median(took)


@dataclass(frozen=True, slots=True)
class Counts:
    """What one call does on the device and asks of the driver, per call; times in microseconds.

    ``device_us`` is what its kernels, copies and memsets took together, ``kernel_us`` the kernels alone.
    """

    kernels: float
    host_to_device: float
    device_to_host: float
    device_to_device: float
    memsets: float
    pageable: float
    synchronizations: float
    allocations: float
    kernel_us: float
    device_us: float
    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


WAITS = ("StreamSynchronize", "EventSynchronize")  # the measurement itself waits for the device
ALLOCATIONS = ("cudaMalloc", "cuMemAlloc", "cudaHostAlloc", "cudaMallocHost", "cuMemHostAlloc")


def counts(call: Call, calls: int = 3) -> Counts:
    """Kernels, copies, waits and allocations of one call, by torch's profiler after a warm-up of its own."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    call()
    synchronize()
    with profile(
        activities=activities
    ):  # the first profile of a process sets its tools up inside the region
        call()
    synchronize()
    with profile(activities=activities) as seen:
        for _ in range(calls):
            call()
        synchronize()
    found = dict.fromkeys(Counts.__dataclass_fields__, 0.0)
    names: list[str] = []
    on_device = torch.autograd.DeviceType.CUDA
    for event in seen.profiler.kineto_results.events():
        name = event.name()
        if event.device_type() != on_device:
            if name.endswith(WAITS):
                found["synchronizations"] += 1
            elif name.startswith(ALLOCATIONS):
                found["allocations"] += 1
            continue
        took = event.duration_ns() / 1e3
        if name.startswith("Memcpy"):
            found[_direction(name)] += 1
            found["pageable"] += "Pageable" in name
        elif name.startswith("Memset"):
            found["memsets"] += 1
        elif "Sync" not in name:
            found["kernels"] += 1
            found["kernel_us"] += took
            names.append(name)
        else:
            took = 0.0
        found["device_us"] += took
    del found["names"]
    each = {name: round(value / calls, 2) for name, value in found.items()}
    return Counts(**each, names=tuple(sorted(set(names))))


def _direction(name: str) -> str:
    if "HtoD" in name:
        return "host_to_device"
    return "device_to_host" if "DtoH" in name else "device_to_device"
