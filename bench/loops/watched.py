# pyright: basic
"""What a step of each loop asks of the driver, and how far its host runs ahead: from a trace, without times.

    python -m bench.loops.watched --size 0.6b --batch 32 --out bench/results/loops_watched.jsonl

A profiler makes every launch slower, so that its idle share is too high: bench/loops/idle.py has the one that counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import metaplan as mp
from bench.loops.idle import WARM, Point, Table
from bench.loops.model import SHAPES, Weights
from bench.loops.sides import Side
from metaplan.machine import machine

SKIP, STEPS = 8, 32
"""Every 16 steps a request ends: two of them do in what is counted."""
Row = dict[str, Any]


def watched(side: Side) -> Row:
    """Counts of a step, the share of steps that were launched before the GPU ran dry, and the trace's idle share."""
    side.start()
    for _ in range(WARM):
        side.step()
    with mp.watching(skip=SKIP) as watch:
        for _ in range(SKIP + STEPS):
            side.step()
            watch.step()
    side.stop()
    report = watch.report
    return {
        "a_step": {name: round(count, 2) for name, count in report.a_step().items()},
        "trace_idle": round(max(one.share for one in report.idle), 4),
        "run_ahead": round(report.lead.run_ahead, 3) if report.lead else None,
        "lead_us": round(report.lead.p50_us, 1) if report.lead else None,
    }


def rows(table: Table, hosts: Iterable[float]) -> list[Row]:
    """A row for each side and host work."""
    point = table.point
    model_us = table.model_us(STEPS)
    found: list[Row] = []
    for host in hosts:
        table.work.host_us = host * model_us
        for side in table.sides:
            row: Row = {"kind": "watched", "size": point.size, "batch": point.batch, "host": host}
            found.append(row | {"side": side.name, "checked": True} | watched(side))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=tuple(SHAPES), default="0.6b")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--host", nargs="+", type=float, default=(0.0, 0.5))
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--out", type=Path, help="a JSON line for each row is appended")
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    table = Table(
        Point(asked.size, asked.batch, asked.context), Weights(SHAPES[asked.size], "cuda")
    )
    wrong = {side: lines for side, lines in table.wrong(48).items() if lines}
    if wrong:
        raise SystemExit(f"tokens differ: {wrong}")
    every = [{"kind": "run", "bench": "loops.watched", **machine()}, *rows(table, asked.host)]
    for row in every:
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(json.dumps({"run": name, **row}) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
