"""How far the host runs ahead of the GPU."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from metaplan.auditing.calls import is_graph_launch, is_launch
from metaplan.auditing.steps import Step, launched, within
from metaplan.auditing.trace import Trace


@dataclass(frozen=True, slots=True)
class Lead:
    """For each pair of steps, us from the first launch of the later to the GPU's end of the earlier.

    Above 0 the GPU was still busy when its next work came. ``run_ahead``: the share of such pairs.
    """

    us: tuple[float, ...]
    p50_us: float
    min_us: float
    run_ahead: float


def lead(trace: Trace, steps: Sequence[Step]) -> Lead | None:
    """None where fewer than two steps launch kernels, one by one or as graphs."""
    firsts: list[float] = []
    ends: list[float] = []
    both = zip(within(steps, trace.calls), launched(steps, trace), strict=True)
    for calls, works in both:
        launches = {
            call.correlation: call.start
            for call in calls
            if is_launch(call.name) or is_graph_launch(call.name)
        }
        ran = [work for work in works if work.correlation in launches]
        if ran:
            firsts.append(min(launches[work.correlation] for work in ran))
            ends.append(max(work.end for work in works))
    found = [end - first for end, first in zip(ends, firsts[1:], strict=False)]
    if not found:
        return None
    ahead = sum(us > 0 for us in found) / len(found)
    return Lead(tuple(found), statistics.median(found), min(found), ahead)
