"""How much of what a step does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from metaplan.auditing.calls import is_allocation, is_graph_launch, is_launch, is_wait
from metaplan.auditing.steps import Step, launched, within
from metaplan.auditing.trace import COPY, KERNEL, SET, Call, Trace, Work


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one step. ``launches``: of single kernels; ``pageable``: copies that are counted above too."""

    launches: int
    graph_launches: int
    kernels: int
    host_to_device: int
    device_to_host: int
    device_to_device: int
    memsets: int
    pageable: int
    waits: int
    allocations: int


NAMES = tuple(field.name for field in fields(Counts))


def counts(trace: Trace, steps: Sequence[Step]) -> tuple[Counts, ...]:
    """One for each step; work counts for the step that launched it."""
    both = zip(within(steps, trace.calls), launched(steps, trace), strict=True)
    return tuple(_counted(calls, works) for calls, works in both)


def _counted(calls: Sequence[Call], works: Sequence[Work]) -> Counts:
    copies = [work.name for work in works if work.kind == COPY]
    to_device = sum("HtoD" in name for name in copies)
    to_host = sum("DtoH" in name for name in copies)
    return Counts(
        launches=sum(is_launch(call.name) for call in calls),
        graph_launches=sum(is_graph_launch(call.name) for call in calls),
        kernels=sum(work.kind == KERNEL for work in works),
        host_to_device=to_device,
        device_to_host=to_host,
        device_to_device=len(copies) - to_device - to_host,
        memsets=sum(work.kind == SET for work in works),
        pageable=sum("Pageable" in name for name in copies),
        waits=sum(is_wait(call.name) for call in calls),
        allocations=sum(is_allocation(call.name) for call in calls),
    )
