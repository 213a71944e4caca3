# pyright: basic
"""Whether a region of a program waits for the GPU: it must not, if decode steps are to overlap.

The test that nothing escapes: a long sleep is queued on the GPU, the region runs, and the event
behind the sleep must still be pending. What the region called is then found out beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

from metaplan.auditing.device import need_gpu
from metaplan.auditing.finding import Finding
from metaplan.auditing.profiled import profile
from metaplan.auditing.watch import watch
from metaplan.errors import SyncError

SLEEP_MS = 100.0
"""Milliseconds of sleep under a region; a region must take less than half of it on the host."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a region did. ``blocked``: the sleep was over when the region ended."""

    blocked: bool
    host_us: float
    sleep_us: float
    findings: tuple[Finding, ...]
    calls: dict[str, int]

    @property
    def clean(self) -> bool:
        return not self.blocked and not self.findings

    def __str__(self) -> str:
        if self.clean:
            return f"sync-free: {self.host_us:.1f} us on the host"
        lines = [f"the region is not sync-free ({self.host_us / 1e3:.2f} ms on the host)"]
        if self.blocked:
            lines.append(f"it ended after the {self.sleep_us / 1e3:.0f} ms of GPU work before it")
        return "\n  ".join(lines + [str(finding) for finding in self.findings])


@overload
def assert_sync_free(
    fn: Callable[[], Any], *, sleep_ms: float = SLEEP_MS, streams: Iterable[Any] = ()
) -> Audit: ...
@overload
def assert_sync_free(
    fn: None = None, *, sleep_ms: float = SLEEP_MS, streams: Iterable[Any] = ()
) -> AbstractContextManager[None]: ...
def assert_sync_free(
    fn: Callable[[], Any] | None = None,
    *,
    sleep_ms: float = SLEEP_MS,
    streams: Iterable[Any] = (),
) -> Audit | AbstractContextManager[None]:
    """Raises SyncError where a region waits for the GPU, copies pageable memory or allocates.

    ``with mp.assert_sync_free():`` checks the body, which must have run once before (a first run
    allocates and compiles). ``mp.assert_sync_free(fn)`` is ``mp.audit(fn)`` that raises: it also
    sees what other libraries ask the driver for. ``streams``: further streams that must not be
    waited for; the current one is always included.
    """
    if fn is None:
        return _region(sleep_ms, tuple(streams))
    found = audit(fn, sleep_ms=sleep_ms, streams=streams)
    if not found.clean:
        raise _error(found)
    return found


def audit(
    fn: Callable[[], Any],
    *,
    sleep_ms: float = SLEEP_MS,
    streams: Iterable[Any] = (),
    warm: int = 1,
) -> Audit:
    """Runs ``fn`` to warm it, once above a sleep and once under the profiler; tells what it did."""
    import torch

    need_gpu()
    for _ in range(warm):
        fn()
    torch.cuda.synchronize()
    blocked, host_us = _asleep(fn, sleep_ms, tuple(streams))
    calls, findings = profile(fn)
    return Audit(blocked, host_us, sleep_ms * 1e3, findings, calls)


@contextmanager
def _region(sleep_ms: float, streams: tuple[Any, ...]) -> Iterator[None]:
    import torch

    need_gpu()
    found: list[Finding] = []
    torch.cuda.synchronize()
    pending = _sleep(sleep_ms, streams)
    with watch(found):
        start = time.perf_counter()
        yield
        host_us = (time.perf_counter() - start) * 1e6
        blocked = any(event.query() for event in pending)
    torch.cuda.synchronize()
    result = Audit(blocked, host_us, sleep_ms * 1e3, tuple(found), {})
    if not result.clean:
        raise _error(result)


def _asleep(fn: Callable[[], Any], sleep_ms: float, streams: tuple[Any, ...]) -> tuple[bool, float]:
    """Whether ``fn`` returned after the sleep that was queued before it, and its host time in us."""
    import torch

    pending = _sleep(sleep_ms, streams)
    start = time.perf_counter()
    fn()
    host_us = (time.perf_counter() - start) * 1e6
    blocked = any(event.query() for event in pending)
    torch.cuda.synchronize()
    return blocked, host_us


def _sleep(sleep_ms: float, streams: tuple[Any, ...]) -> list[Any]:
    """Queues a sleep on the current stream and on ``streams``; the events behind the sleeps."""
    import torch

    events: list[Any] = []
    for stream in (torch.cuda.current_stream(), *streams):
        with torch.cuda.stream(stream):
            sleeping(sleep_ms)
            event = torch.cuda.Event()
            event.record(stream)
            events.append(event)
    return events


def sleeping(ms: float) -> None:
    """Queues a sleep of ``ms`` milliseconds on the current stream."""
    import torch

    torch.cuda._sleep(int(ms * _cycles_per_ms(torch.cuda.current_device())))


@lru_cache
def _cycles_per_ms(device: int) -> float:
    """How long torch's sleep kernel sleeps, measured once, on a warm clock."""
    import torch

    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(device):
        torch.cuda._sleep(20_000_000)
        first.record()
        torch.cuda._sleep(20_000_000)
        last.record()
        torch.cuda.synchronize()
    return 20_000_000 / first.elapsed_time(last)


def _error(found: Audit) -> SyncError:
    hint = "keep counts on the device, stage host arrays through mp.HOST, allocate before the loop"
    if found.blocked and not found.findings:
        hint = f"if the region only takes long, pass sleep_ms above {found.host_us / 500:.0f}"
    return SyncError(str(found), hint=hint)
