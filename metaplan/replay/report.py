"""What a replay comes to: counts, times and bytes by plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaplan.machine import machine
from metaplan.replay.run import PLANS, Outcome, Ran

SHOWN = 5  # mismatches that are kept in words


@dataclass(slots=True)
class Totals:
    """One plan over all steps of a replay that had rows for it."""

    steps: int = 0
    mismatches: int = 0
    bytes: int = 0
    host_us: list[float] = field(default_factory=list[float])
    gpu_us: list[float] = field(default_factory=list[float])

    def add(self, outcome: Outcome) -> None:
        self.steps += 1
        self.mismatches += len(outcome.mismatches)
        self.bytes += outcome.bytes
        self.host_us.append(outcome.host_us)
        if outcome.gpu_us is not None:
            self.gpu_us.append(outcome.gpu_us)

    def json(self) -> dict[str, Any]:
        """Counts; the medians of the times in microseconds; bytes of a mean step."""
        return {
            "steps": self.steps,
            "mismatches": self.mismatches,
            "host_us": _median(self.host_us),
            "gpu_us": _median(self.gpu_us),
            "bytes_per_step": self.bytes // max(self.steps, 1),
        }


@dataclass(slots=True)
class Report:
    """A whole replay."""

    trace: str
    device: str
    steps: int = 0
    tokens: int = 0
    most_requests: int = 0
    requests: set[int] = field(default_factory=set[int])
    plans: dict[str, Totals] = field(default_factory=lambda: {name: Totals() for name in PLANS})
    wrong: list[str] = field(default_factory=list[str])

    @property
    def mismatches(self) -> int:
        """Outputs that differed from the oracle, over all plans and steps."""
        return sum(totals.mismatches for totals in self.plans.values())

    def add(self, ran: Ran) -> None:
        """Counts one step."""
        step = ran.frame.step
        self.steps += 1
        self.tokens += step.num_tokens
        self.most_requests = max(self.most_requests, len(step.request))
        self.requests.update(step.request.tolist())
        for outcome in ran.outcomes:
            self.plans[outcome.plan].add(outcome)
            words = [f"step {outcome.step}, {outcome.plan}: {m}" for m in outcome.mismatches]
            self.wrong += words[: SHOWN - len(self.wrong)]

    def json(self) -> dict[str, Any]:
        """The report as ``metaplan replay --json`` prints it."""
        return {
            "trace": self.trace,
            "device": self.device,
            "machine": machine(),
            "steps": self.steps,
            "requests": len(self.requests),
            "most_requests_in_a_step": self.most_requests,
            "tokens": self.tokens,
            "mismatches": self.mismatches,
            "first_mismatches": self.wrong,
            "plans": {name: totals.json() for name, totals in self.plans.items()},
        }


def report(trace: str, device: str, steps: Iterable[Ran]) -> Report:
    """Runs ``steps`` to their end and counts."""
    made = Report(trace, device)
    for ran in steps:
        made.add(ran)
    return made


def _median(values: list[float]) -> float | None:
    return round(float(np.median(values)), 2) if values else None
