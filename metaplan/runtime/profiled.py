# pyright: basic
"""What a region asked the driver for, as the profiler (CUPTI) saw it from every library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from metaplan.runtime.watch import Finding, watch

REGION = "metaplan.audit"

WAITS = frozenset(
    {
        *("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy"),
        *("cuCtxSynchronize", "cuStreamSynchronize", "cuEventSynchronize"),
        *("cuMemcpyHtoD", "cuMemcpyDtoH", "cuMemcpyDtoD", "cuMemcpy", "cudaMemcpy2D"),
    }
)
ALLOCATIONS = frozenset(
    {
        *("cudaMalloc", "cudaFree", "cudaMallocHost", "cudaHostAlloc", "cudaFreeHost"),
        *("cudaMallocManaged", "cudaMallocAsync", "cudaFreeAsync", "cudaHostRegister"),
        *("cuMemAlloc", "cuMemFree", "cuMemHostAlloc", "cuMemFreeHost", "cuMemCreate", "cuMemMap"),
        *("cuModuleLoadData", "cuModuleLoadDataEx", "cuLibraryLoadData"),
    }
)


def profile(fn: Callable[[], Any]) -> tuple[dict[str, int], tuple[Finding, ...]]:
    """Runs ``fn`` once under the profiler: its driver calls by name, and what must not be in them."""
    import torch
    from torch.profiler import ProfilerActivity

    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    found: list[Finding] = []
    with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        torch.cuda.synchronize()
        with watch(found), torch.profiler.record_function(REGION):
            fn()
        torch.cuda.synchronize()
    events = [
        (event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events() or ()
    ]
    calls, asked = judge(events)
    return calls, (*found, *asked)


def judge(
    events: Iterable[tuple[str, float, float]],
) -> tuple[dict[str, int], tuple[Finding, ...]]:
    """Calls and copies in a trace of (name, start, end) that fall into the region, and the findings.

    A copy on the device may end long after the region; only the region puts copies into the trace.
    """
    trace = list(events)
    start, end = next((s, e) for name, s, e in trace if name == REGION)
    calls = Counter(
        name
        for name, s, _ in trace
        if (start <= s <= end and _is_call(name)) or name.startswith("Memcpy")
    )
    found: list[Finding] = []
    for name, count in sorted(calls.items()):
        plain = _plain(name)
        if plain in WAITS:
            found.append(Finding("wait", name, count=count))
        elif plain in ALLOCATIONS:
            found.append(Finding("allocation", name, count=count))
        elif name.startswith("Memcpy") and "Pageable" in name:
            found.append(Finding("pageable copy", name, count=count))
    return dict(calls), tuple(found)


def _is_call(name: str) -> bool:
    return name.startswith("cuda") or (name.startswith("cu") and name[2:3].isupper())


def _plain(name: str) -> str:
    """cuMemAlloc_v2 => cuMemAlloc."""
    head, _, tail = name.partition("_v")
    return head if tail.isdigit() else name
