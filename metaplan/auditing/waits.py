"""What a trace shows that a step must not do, with its lines: waits, pageable copies, allocations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from metaplan.auditing.calls import is_allocation, is_wait
from metaplan.auditing.finding import ALLOCATION, PAGEABLE, WAIT, Finding, together
from metaplan.auditing.lines import lines
from metaplan.auditing.steps import Step, launched, within
from metaplan.auditing.trace import Trace, Work


def findings(trace: Trace, steps: Sequence[Step]) -> tuple[Finding, ...]:
    """All of them in ``steps``, the longest first; equal ones from equal lines are one finding."""
    calls = [call for some in within(steps, trace.calls) for call in some]
    copies: dict[int, list[Work]] = {}
    for works in launched(steps, trace):
        for work in works:
            if "Pageable" in work.name:
                copies.setdefault(work.correlation, []).append(work)
    told = [c for c in calls if is_wait(c.name) or is_allocation(c.name) or c.correlation in copies]
    line = lines(trace, told)

    def made() -> Iterator[Finding]:
        for call in told:
            at = line[call]
            took = call.end - call.start
            if is_wait(call.name):
                yield Finding(WAIT, call.name, at.stack, us=took, asked=at.asked)
            elif is_allocation(call.name):
                yield Finding(ALLOCATION, call.name, at.stack, us=took, asked=at.asked)
            for work in copies.pop(call.correlation, ()):
                yield Finding(PAGEABLE, work.name, at.stack, us=took, asked=at.asked)
        for works in copies.values():
            yield from (Finding(PAGEABLE, work.name) for work in works)

    return together(made())
