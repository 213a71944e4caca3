# pyright: basic
"""DeepSeek-V4's decode preparation: on the host beside a preparation stream, as torch ops, and as one kernel.

    python -m bench.loops.preparation --seconds 170 --out bench/results/loops_preparation.jsonl
    TRITON_INTERPRET=1 python -m bench.loops.preparation --check

Every side fills the same buffers, compared with the oracle, every cell, before it is timed. CPU us: a call that does
not wait for the model. Device us: its kernels and copies by the profiler. Wall us: a step of a loop whose model is a
known time of matrix products; a side that prepares on the host has to wait for the model's count of rejected drafts
first, as that builder does ("decode already syncs every step"); ours reads it on the device, inside the graph.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from bench import measure, workloads
from bench.check import Judge
from bench.loops import device
from bench.loops.v4_sides import QUERY, sides, workload, wrong
from bench.loops.v4_step import Model, wall_us
from metaplan.machine import machine

BATCHES = (128, 16, 1024, 1, 256, 64, 512)
CONTEXTS = (16384, 131072)
Row = dict[str, Any]


def measured(batch: int, context: int, repeats: int) -> list[Row]:
    """A row for each side."""
    judge = Judge(workload(batch, context), "cuda")
    model = Model(batch)
    model_us = device.saturated_us(measure.capture(model).replay, 30)
    every = sides(judge)
    rows: list[Row] = []
    bad = {side.name: wrong(judge, side) for side in every}
    walls: dict[str, list[float]] = {side.name: [] for side in every}
    for _ in range(repeats):
        for side in every:
            if not bad[side.name]:
                walls[side.name].append(wall_us(side, model))
    for side in every:
        row: Row = {"kind": "preparation", "batch": batch, "query": QUERY, "context": context}
        row |= {"side": side.name, "checked": not bad[side.name]}
        if bad[side.name]:
            rows.append(row | {"wrong": bad[side.name][:4]})
            continue
        wall = statistics.median(walls[side.name])
        calls = 20 if side.recorded is None else 100
        row |= {
            "cpu_us": round(measure.cpu_us(side.prepare, calls, 7, 10), 2),
            "model_us": round(model_us, 1),
            "wall_us": round(wall, 1),
            "walls_us": [round(one, 1) for one in walls[side.name]],
            "beside_us": round(wall - model_us, 1),
        }
        if side.recorded is not None and side.name.endswith("device"):
            row["gpu_us"] = round(measure.graph_us(side.recorded, 40, 11), 3)
        rows.append(row)
    for row, side in zip(
        rows, every, strict=True
    ):  # last: a profiler leaves launches slower behind
        if row["checked"]:
            row |= {k: v for k, v in measure.counts(side.prepare).to_json().items() if k != "names"}
        side.close()
    return rows


def check() -> list[str]:
    """All sides with few requests, on the CPU: what is wrong, nothing if all is well."""
    found = []
    for batch in (1, 3):
        judge = Judge(workload(batch, workloads.LONGEST, small=True), "cpu")
        for side in sides(judge):
            found += [f"B={batch}, {side.name}: {line}" for line in wrong(judge, side)]
    return found


def cell(asked: tuple[int, int, int]) -> Row:
    """One batch and context in a process of its own: the profiler of one must not slow the next."""
    batch, context, repeats = asked
    return {"rows": measured(batch, context, repeats)}


def run(asked: argparse.Namespace) -> None:
    from bench.processes import Worker, context

    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    end = time.monotonic() + asked.seconds

    def write(row: Row) -> None:
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(json.dumps({"run": name, **row}) + "\n")
        print(line(row), flush=True)

    write({"kind": "run", "bench": "loops.preparation", **machine()})
    took = 0.0
    for batch in asked.batch:
        for longest in asked.context:
            begin = time.monotonic()
            head = {"batch": batch, "context": longest}
            if begin + took > end:
                write({"kind": "left", **head})
                continue
            worker = Worker(cell, context(("torch", "triton", "metaplan", "bench.measure")))
            made = worker.run((batch, longest, asked.repeats), 120.0)
            worker.close()
            for row in made.get("rows", [{"kind": "preparation", **head, **made}]):
                write(row)
            took = time.monotonic() - begin


def line(row: Row) -> str:
    """A row for a person."""
    if row["kind"] == "run":
        return f"{row['command']}: {row['device']}"
    text = f"B={row['batch']:<5} context {row['context']:<7}"
    if row["kind"] == "left":
        return f"{text}: no time left"
    if "error" in row:
        return f"{text} {row['error']}"
    if not row["checked"]:
        return f"{text} {row['side']:26} WRONG {row['wrong'][0]}"
    names = ("cpu_us", "device_us", "wall_us", "beside_us", "kernels", "host_to_device")
    return f"{text} {row['side']:26} " + "  ".join(f"{n} {row[n]:g}" for n in names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--context", nargs="+", type=int, default=CONTEXTS, help="longest sequence")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=170, help="for everything")
    parser.add_argument("--out", type=Path, help="a JSON line for each row is appended")
    parser.add_argument("--check", action="store_true", help="correctness only, on the CPU")
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    if asked.check:
        if found := check():
            raise SystemExit("\n".join(found))
        print("every side filled the buffers as the oracle says")
        return
    run(asked)


if __name__ == "__main__":
    main()
