"""All that a trace says about waiting."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from metaplan import catalogue
from metaplan.auditing.counts import NAMES, Counts, counts
from metaplan.auditing.finding import Finding
from metaplan.auditing.idle import Idle, idle
from metaplan.auditing.lead import Lead, lead
from metaplan.auditing.steps import Step, launched, steps
from metaplan.auditing.trace import Trace
from metaplan.auditing.waits import findings


@dataclass(frozen=True, slots=True)
class Report:
    """Of the steps of one trace. Times under a profiler are longer than without it."""

    name: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    counts: tuple[Counts, ...]
    idle: tuple[Idle, ...]
    lead: Lead | None

    @property
    def clean(self) -> bool:
        """Whether no step waited, copied pageable memory or allocated."""
        return not self.findings

    @property
    def step_us(self) -> float:
        """The median step, on the host."""
        return statistics.median(step.end - step.start for step in self.steps)

    @property
    def gpu_us(self) -> float:
        """How long the busiest GPU works for a step, on average."""
        return max(one.busy_us for one in self.idle) / len(self.steps)

    def a_step(self) -> Mapping[str, float]:
        """The mean of each count."""
        return {
            name: sum(getattr(one, name) for one in self.counts) / len(self.counts)
            for name in NAMES
        }

    def json(self) -> dict[str, Any]:
        """Everything, for ``metaplan audit --json``."""
        return {
            "name": self.name,
            "clean": self.clean,
            "steps": len(self.steps),
            "step_us": round(self.step_us, 3),
            "gpu_us": round(self.gpu_us, 3),
            "findings": [asdict(one) for one in self.findings],
            "a_step": dict(self.a_step()),
            "counts": [asdict(one) for one in self.counts],
            "idle": [asdict(one) for one in self.idle],
            "lead": asdict(self.lead) if self.lead else None,
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: {len(self.steps)} steps, {self.step_us:.1f} us each"]
        lines += [str(one) for one in self.findings] or ["nothing waited"]
        lines += [f"GPU {one.device} idle: {one.share:.1%}" for one in self.idle]
        if self.lead:
            lines.append(f"run-ahead: {self.lead.run_ahead:.0%}, lead {self.lead.p50_us:.1f} us")
        return "\n  ".join(lines)


def report(trace: Trace, skip: int = 0) -> Report:
    """What ``trace`` shows, without its first ``skip`` steps.

    Raises CallError where the GPU did nothing in its steps, or where no step is left.
    """
    every = steps(trace) if trace.works else ()
    if not every:
        raise catalogue.trace_without_gpu(trace.name)
    kept = every[skip:]
    if not kept:
        raise catalogue.all_steps_skipped(len(every), skip)
    works = [work for some in launched(kept, trace) for work in some]
    if not works:
        raise catalogue.trace_without_gpu(trace.name)
    return Report(
        trace.name,
        kept,
        findings(trace, kept),
        counts(trace, kept),
        idle(works),
        lead(trace, kept),
    )
