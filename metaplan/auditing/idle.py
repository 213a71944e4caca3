"""When the GPU had nothing to do: the window less the union of what it did."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from metaplan.auditing.trace import KERNEL, Work

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Idle:
    """Of one device, from the start of its first work to the end of its last; times in us.

    ``share`` counts kernels, copies and memsets as work, ``kernels_share`` kernels alone: a copy
    that fills a gap hides a bubble.
    """

    device: int
    share: float
    kernels_share: float
    window_us: float
    busy_us: float
    gaps: int
    gap_p50_us: float
    gap_max_us: float


def idle(works: Iterable[Work]) -> tuple[Idle, ...]:
    """For each device that did something."""
    devices: dict[int, list[Work]] = {}
    for work in works:
        devices.setdefault(work.device, []).append(work)
    return tuple(_idle(device, devices[device]) for device in sorted(devices))


def union(works: Iterable[Work]) -> list[Interval]:
    """The intervals in which at least one of them ran, apart and in order."""
    found: list[Interval] = []
    for start, end in sorted((work.start, work.end) for work in works):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _idle(device: int, works: Sequence[Work]) -> Idle:
    busy = union(works)
    window = busy[-1][1] - busy[0][0]
    gaps = [after[0] - before[1] for before, after in pairwise(busy)]
    return Idle(
        device=device,
        share=_share(busy, window),
        kernels_share=_share(union(work for work in works if work.kind == KERNEL), window),
        window_us=window,
        busy_us=_length(busy),
        gaps=len(gaps),
        gap_p50_us=statistics.median(gaps) if gaps else 0.0,
        gap_max_us=max(gaps, default=0.0),
    )


def _length(busy: Iterable[Interval]) -> float:
    return sum(end - start for start, end in busy)


def _share(busy: Iterable[Interval], window: float) -> float:
    return 1 - _length(busy) / window if window else 0.0
