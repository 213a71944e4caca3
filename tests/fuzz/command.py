"""``python -m tests.fuzz``: draws plans, tries them, makes the failing ones small, says what was found."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaplan.machine import machine
from tests.fuzz.mutating import mutated
from tests.fuzz.outcomes import FAILED, FINE, REFUSED, Outcome
from tests.fuzz.plans import Case, case
from tests.fuzz.shrinking import smallest
from tests.fuzz.workers import Pool, same_failure


@dataclass(slots=True)
class Report:
    """What a run has seen so far."""

    counts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, out: Outcome) -> None:
        self.counts.update({"plans": 1, out.state: 1, "batches": out.batches, "cells": out.cells})
        self.counts["batches with a broken promise"] += out.broken
        self.counts["compiled"] += out.compiled
        if out.state == REFUSED:
            self.refused[out.what] += 1
        if out.state == FAILED:
            self.failed[out.what] += 1

    def json(self, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
        return {
            "machine": machine(),
            "device": options.device,
            "seeds": [options.seed, options.seed + self.counts["plans"] - 1],
            "seconds": round(seconds, 1),
            **{
                name: self.counts[name]
                for name in ("plans", FINE, REFUSED, FAILED, "batches", "cells")
            },
            **({"compiled": self.counts["compiled"]} if options.compile else {}),
            "batches with a broken promise": self.counts["batches with a broken promise"],
            "refused by": dict(self.refused.most_common()),
            "failed by": dict(self.failed.most_common()),
            "failures": self.failures,
        }


def options(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--plans", type=int, default=100, help="how many plans")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the others follow it")
    parser.add_argument("--device", choices=("cpu", "cuda", "compile"), default="cpu")
    parser.add_argument(
        "--compile", type=int, default=0, help="also for GPUs: every plan whose seed it divides"
    )
    parser.add_argument("--seconds", type=float, default=None, help="no new plan after so long")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--batches", type=int, default=5, help="of each plan")
    parser.add_argument("--shrink", type=float, default=60, help="seconds for each failing plan")
    parser.add_argument("--wrong", action="store_true", help="plans with a mistake in each")
    parser.add_argument("--out", type=Path, default=None, help="a file for the summary")
    parser.add_argument("--case", type=int, default=None, help="only this seed, and its text")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    asked = options(words)
    draw = mutated if asked.wrong else case
    if asked.case is not None:
        asked.seed, asked.plans = asked.case, 1
        print(draw(asked.case).source)
    pool = Pool(asked.device, asked.batches, asked.jobs, asked.compile)
    report, start = Report(), time.monotonic()

    def cases() -> Iterator[Case]:
        for seed in itertools.islice(itertools.count(asked.seed), asked.plans):
            if asked.seconds is not None and time.monotonic() - start > asked.seconds:
                return
            yield draw(seed)

    failing: list[Outcome] = []
    try:
        for out in pool.every(cases()):
            report.add(out)
            if out.state == FAILED:
                failing.append(out)
                print(f"seed {out.seed}: {out.what}: {_line(out.text)}", flush=True)
            elif asked.case is not None:
                print(f"{out.state} {out.what}: {out.text}; {out.cells} cells compared")
        seconds = time.monotonic() - start
        for out in failing:
            report.failures.append(_told(out, pool, asked.shrink, report))
    finally:
        pool.close()
    made = report.json(asked, seconds)
    print(json.dumps({k: v for k, v in made.items() if k != "failures"}, indent=1))
    if asked.out is not None:
        asked.out.write_text(json.dumps(made, indent=1) + "\n")
    sys.exit(bool(report.failed))


def _line(text: str) -> str:
    return " | ".join(text.split("\n"))[:300]


def _told(out: Outcome, pool: Pool, seconds: float, report: Report) -> dict[str, Any]:
    """A failure with the smallest plan that shows it, unless one of its kind has been made small."""
    known = {(f["what"], f["text"].partition(":")[0]) for f in report.failures if f["source"]}
    text, source, sizes = out.text, "", out.sizes
    if (out.what, text.partition(":")[0]) not in known and seconds > 0:
        whole = Case(out.seed, out.source, out.sizes)
        small = smallest(whole, lambda c: same_failure(pool.one(c), out), seconds)
        source, sizes = small.source, small.sizes
        print(
            f"\n# seed {out.seed}: {out.what}: {_line(text)}\n# sizes: {sizes}\n{source}",
            flush=True,
        )
    return {"seed": out.seed, "what": out.what, "text": text, "source": source, "sizes": sizes}
