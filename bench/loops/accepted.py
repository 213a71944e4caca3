# pyright: basic
"""What it costs that the host has to know how many drafts were accepted, by draft tokens and host work.

    python -m bench.loops.accepted --seconds 170 --out bench/results/loops_accepted.jsonl
    TRITON_INTERPRET=1 python -m bench.loops.accepted --check

Three loops over the same steps: the host reads the counts when the step is over; it reads them as soon as the verify is
over, while the drafts run; it does not wait for them (ours, results one or two steps late). Verify and drafts are
matrix products of a known time. Positions and slots of every step are compared with an oracle, in the timed runs too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from bench import measure
from bench.loops import device
from bench.loops.counting import Blocking, Counting, Early, Optimistic
from bench.loops.device import steady_ns
from bench.loops.drafting import Drafting, Shape
from metaplan.machine import machine

DRAFTS = (2, 3, 1, 7, 5, 4, 6)
BATCHES = (8, 32, 128)
HOST = (0.5, 0.0, 1.0)
STEPS, WARM = 80, 16
Row = dict[str, Any]


def sides(drafting: Drafting) -> list[Counting]:
    return [Blocking(drafting), Early(drafting), Optimistic(drafting, 1), Optimistic(drafting, 2)]


def run(side: Counting, steps: int, warm: int) -> Row:
    """Wall microseconds of a step after ``warm``, and those of any that the host was blocked for counts."""
    side.start()
    took = steady_ns(side.step, steps - warm, warm)
    side.stop()
    measure.synchronize()
    return {
        "wall_us": took / (steps - warm) / 1e3,
        "wait_us": side.waited_ns / steps / 1e3,
    }


def watched(side: Counting, steps: int) -> list[str]:
    """What is wrong in a run that also looks at the host's bounds."""
    side.host_us = 0.0
    if isinstance(side, Optimistic):
        side.watching = True
    run(side, steps, 0)
    if isinstance(side, Optimistic):
        side.watching = False
    return side.wrong(steps)


def measured(drafting: Drafting, host: list[float], repeats: int) -> list[Row]:
    """A row for each side and host work."""
    every, steps = sides(drafting), drafting.shape.steps
    wrong = {side.name: watched(side, steps) for side in every}
    blocking = every[0]
    assert isinstance(blocking, Blocking)
    run(blocking, WARM, 0)
    gpu_us = device.saturated_us(blocking.replay)
    rows: list[Row] = []
    for multiple in host:
        found: dict[str, list[Row]] = {side.name: [] for side in every}
        for _ in range(repeats):
            for side in every:
                side.host_us = multiple * gpu_us
                found[side.name].append(run(side, steps, WARM))
                wrong[side.name] += side.wrong(steps)
        for side in every:
            rows.append(head(drafting.shape, side, multiple, wrong[side.name]))
            if not wrong[side.name]:
                rows[-1] |= told(found[side.name], gpu_us, multiple)
    return rows


def head(shape: Shape, side: Counting, host: float, wrong: list[str]) -> Row:
    row: Row = {"kind": "accepted", "batch": shape.rows, "drafts": shape.drafts, "host": host}
    row |= {"steps": shape.steps, "side": side.name, "checked": not wrong}
    if wrong:
        row["wrong"] = wrong[:4]
    if isinstance(side, Optimistic):
        row |= {"above": [int(one) for one in side.above], "slack": side.loop.bounds.slack}
    return row


def told(found: list[Row], gpu_us: float, host: float) -> Row:
    walls = [row["wall_us"] for row in found]
    wall = statistics.median(walls)
    waits = statistics.median(row["wait_us"] for row in found)
    return {
        "host_us": round(host * gpu_us, 1),
        "gpu_us": round(gpu_us, 1),
        "wall_us": round(wall, 1),
        "walls_us": [round(one, 1) for one in walls],
        "gap_us": round(wall - gpu_us, 1),
        "wait_us": round(waits, 1),
        "idle": round(1 - gpu_us / wall, 4),
    }


def check() -> list[str]:
    """All sides with few rows, on the CPU: what is wrong, nothing if all is well."""
    found = []
    for drafts in (1, 3):
        drafting = Drafting(Shape(3, drafts, 40), "cpu")
        for side in sides(drafting):
            for _ in range(2):  # from the beginning again
                found += [f"K={drafts}, {side.name}: {line}" for line in watched(side, 40)]
            if isinstance(side, Optimistic) and side.above[1] != side.loop.bounds.slack:
                found.append(f"K={drafts}, {side.name}: the bound was never reached: {side.above}")
    return found


def every(asked: argparse.Namespace, where: str = "cuda") -> None:
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    end = time.monotonic() + asked.seconds

    def write(row: Row) -> None:
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(json.dumps({"run": name, **row}) + "\n")
        print(line(row), flush=True)

    write({"kind": "run", "bench": "loops.accepted", **machine()})
    took = 0.0
    for batch in asked.batch:
        for drafts in asked.drafts:
            begin = time.monotonic()
            if begin + took > end:
                write({"kind": "left", "batch": batch, "drafts": drafts})
                continue
            drafting = Drafting(Shape(batch, drafts, STEPS), where)
            for row in measured(drafting, asked.host, asked.repeats):
                write(row)
            took = time.monotonic() - begin


def line(row: Row) -> str:
    """A row for a person."""
    if row["kind"] == "run":
        return f"{row['command']}: {row['device']}"
    text = f"B={row['batch']:<4} K={row['drafts']} host {row.get('host', '-')}x"
    if row["kind"] == "left":
        return f"{text}: no time left"
    if not row["checked"]:
        return f"{text} {row['side']:20} WRONG {row['wrong'][0]}"
    shown = "  ".join(f"{n} {row[n]:8.1f}" for n in ("wall_us", "gpu_us", "gap_us", "wait_us"))
    return f"{text} {row['side']:20} {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drafts", nargs="+", type=int, default=DRAFTS)
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--host", nargs="+", type=float, default=HOST, help="x the GPU's step")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=170, help="for everything")
    parser.add_argument("--out", type=Path, help="a JSON line for each row is appended")
    parser.add_argument("--check", action="store_true", help="correctness only, on the CPU")
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    if asked.check:
        if wrong := check():
            raise SystemExit("\n".join(wrong))
        print("every side saw the positions and slots of the oracle")
        return
    every(asked)


if __name__ == "__main__":
    main()
