# pyright: basic
"""What a region asked the driver for, as the profiler (CUPTI) saw it from every library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from metaplan.auditing.calls import is_allocation, is_wait
from metaplan.auditing.finding import ALLOCATION, PAGEABLE, WAIT, Finding
from metaplan.auditing.watch import watch

REGION = "metaplan.audit"


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
    return calls, once(found, asked)


def once(seen: Iterable[Finding], asked: Iterable[Finding]) -> tuple[Finding, ...]:
    """Both, without the driver's calls that torch's functions in ``seen`` made."""
    made = list(seen)
    found = list(made)
    for one in asked:
        left = one.count
        for cause in [cause for cause in made if left and is_caused(one, cause)]:
            made.remove(cause)
            left -= min(cause.count, left)
        if left:
            found.append(replace(one, count=left))
    return tuple(found)


def is_caused(one: Finding, cause: Finding) -> bool:
    """Whether the driver's call ``one`` is what torch's function ``cause`` makes."""
    name = one.call
    match cause.kind if cause.kind == one.kind else None:
        case "wait" if cause.call.endswith("cuda.synchronize"):
            return "DeviceSynchronize" in name
        case "wait" if cause.call == "Event.synchronize":
            return "EventSynchronize" in name
        case "wait":
            return "StreamSynchronize" in name or "Memcpy" in name
        case "pageable copy":
            return ("DtoH" in name) == (cause.call == "device to host")
        case "allocation":
            return cause.call.startswith(f"{name} ")
        case _:
            return False


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
        if is_wait(name):
            found.append(Finding(WAIT, name, count=count))
        elif is_allocation(name):
            found.append(Finding(ALLOCATION, name, count=count))
        elif name.startswith("Memcpy") and "Pageable" in name:
            found.append(Finding(PAGEABLE, name, count=count))
    return dict(calls), tuple(found)


def _is_call(name: str) -> bool:
    return name.startswith("cuda") or (name.startswith("cu") and name[2:3].isupper())
