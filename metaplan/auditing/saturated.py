# pyright: basic
"""The share of a step in which the GPU is idle, without a profiler."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metaplan.auditing.device import need_gpu
from metaplan.auditing.regions import sleeping

SLEEP_MS = 20.0
MOST_SLEEP_MS = 2000.0


@dataclass(frozen=True, slots=True)
class Saturated:
    """Of one step, in us: the GPU's time when it always has work, and the time that a step takes."""

    gpu_us: float
    wall_us: float

    @property
    def idle(self) -> float:
        """1 - saturated / wall. A little below 0 is noise of the clocks."""
        return 1 - self.gpu_us / self.wall_us

    def __str__(self) -> str:
        return f"GPU idle {self.idle:.1%}: {self.gpu_us:.1f} us of work in {self.wall_us:.1f} us"


def idle_share(
    step: Callable[[], Any],
    replay: Callable[[], Any],
    *,
    steps: int = 100,
    replays: int = 50,
    repeats: int = 5,
) -> Saturated:
    """How idle the GPU is while ``step`` runs in a loop; medians of ``repeats``, in turns.

    ``replay`` queues the GPU work of one step and waits for nothing: a CUDA graph's replay, with
    the same data, as attention over empty sequences costs nothing. Raises CallError without a GPU.
    """
    need_gpu()
    for _ in range(3):
        step()
        replay()
    turns = [(_saturated_us(replay, replays), _wall_us(step, steps)) for _ in range(repeats)]
    gpu, wall = zip(*turns, strict=True)
    return Saturated(statistics.median(gpu), statistics.median(wall))


def _wall_us(step: Callable[[], Any], steps: int) -> float:
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps * 1e6


def _saturated_us(replay: Callable[[], Any], replays: int) -> float:
    """One replay among many that were all queued before the first began.

    The sleep in front grows until it outlasts the queueing; a queue that is full before all are in
    makes the last ones wait for the GPU, which then has work anyway.
    """
    import torch

    sleep_ms = SLEEP_MS
    while True:
        torch.cuda.synchronize()
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        sleeping(sleep_ms)
        first.record()
        for _ in range(replays):
            replay()
        in_time = not first.query()
        last.record()
        torch.cuda.synchronize()
        if in_time or sleep_ms >= MOST_SLEEP_MS:
            return first.elapsed_time(last) / replays * 1e3
        sleep_ms *= 4
