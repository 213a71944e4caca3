"""The steps of a trace: what lies between two marks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from metaplan.auditing.trace import Call, Span, Trace, Work

STEP, BEGIN, END = "metaplan.step", "metaplan.begin", "metaplan.end"
THEIRS = "ProfilerStep#"

Timed = TypeVar("Timed", Span, Call, Work)


@dataclass(frozen=True, slots=True)
class Step:
    """From its mark to the next, in microseconds on the host."""

    start: float
    end: float


def steps(trace: Trace) -> tuple[Step, ...]:
    """Between marks of ``audit_step``; else those of torch's profiler; else the trace is one step."""
    marks = [mark.start for mark in trace.marks if mark.name == STEP]
    if len(marks) > 1:
        return tuple(Step(a, b) for a, b in pairwise(marks))
    theirs = [mark for mark in trace.marks if mark.name.startswith(THEIRS)]
    if theirs:
        return tuple(Step(mark.start, mark.end) for mark in theirs)
    return (_whole(trace),)


def _whole(trace: Trace) -> Step:
    """What was recorded, without the wait with which torch's profiler ends."""
    begins = [mark.end for mark in trace.marks if mark.name == BEGIN]
    ends = [mark.start for mark in trace.marks if mark.name == END]
    if begins and ends:
        return Step(begins[-1], ends[-1])
    last = max(span.end for span in (*trace.calls, *trace.works, *trace.marks))
    if trace.calls and trace.calls[-1].name in ("cudaDeviceSynchronize", "hipDeviceSynchronize"):
        last = trace.calls[-1].start
    return Step(0.0, last)


def within(steps: Sequence[Step], spans: Iterable[Timed]) -> list[list[Timed]]:
    """What starts in each step."""
    starts = [step.start for step in steps]
    found: list[list[Timed]] = [[] for _ in steps]
    for span in spans:
        at = bisect_right(starts, span.start) - 1
        if at >= 0 and span.start < steps[at].end:
            found[at].append(span)
    return found


def launched(steps: Sequence[Step], trace: Trace) -> list[list[Work]]:
    """The GPU's work of each step: what its calls launched, however late it ran.

    Work whose call was not seen counts where it ran.
    """
    seen = {call.correlation for call in trace.calls}
    owner = {
        call.correlation: at
        for at, calls in enumerate(within(steps, trace.calls))
        for call in calls
        if call.correlation
    }
    unseen = [work for work in trace.works if work.correlation not in seen]
    found = within(steps, unseen)
    for work in trace.works:
        if (at := owner.get(work.correlation)) is not None:
            found[at].append(work)
    return [sorted(works, key=lambda work: work.start) for works in found]
