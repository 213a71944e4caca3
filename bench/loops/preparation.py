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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bench import measure, ours, workloads
from bench.check import Judge
from bench.loops import device, v4_rivals
from bench.loops.drafting import SIDE
from bench.workloads import Workload
from metaplan.compiler import build
from metaplan.machine import machine

BATCHES = (128, 16, 1024, 1, 256, 64, 512)
CONTEXTS = (16384, 131072)
QUERY = 2  # one draft token
MODEL = 8  # matrix products: about 1.5 ms of an H200
# In that builder these stay on the host, or serve a cache of another format.
HOST_ONLY = ("n_committed_hca_per_seq", "qo_indptr", "num_", "cu_compress")
Row = dict[str, Any]


@dataclass(slots=True)
class Side:
    """``prepare`` fills the buffers of ``out``; ``recorded`` does so inside a graph, behind ``stage``."""

    name: str
    prepare: Callable[[], Any]
    out: Callable[[], dict[str, torch.Tensor]]
    recorded: Callable[[], Any] | None = None
    stage: Callable[[], Any] = lambda: None
    close: Callable[[], Any] = lambda: None


def workload(batch: int, context: int, *, small: bool = False) -> Workload:
    """The shipped plan with the fields that all three designs put on the device."""
    longest = None if small else 131072
    work = workloads.make(
        "v4_decode", batch, QUERY, small=small, every_field=True, longest=longest, context=context
    )
    wanted = tuple(o for o in work.plan.outputs if not o.name.startswith(HOST_ONLY))
    names = {o.name for o in wanted}

    def oracle(before: workloads.Arrays) -> Any:
        whole = work.oracle(before)
        values = {n: value for n, value in whole.values.items() if n in names}
        return type(whole)(values, {n: whole.specified[n] for n in values})

    def empty() -> workloads.Arrays:
        return {n: value for n, value in work.empty().items() if n in names}

    return replace(work, plan=replace(work.plan, outputs=wanted), oracle=oracle, empty=empty)


def rival(kind: type[v4_rivals.OnHost], judge: Judge) -> Side:
    made = kind(judge)
    return Side(kind.name, made, lambda: made.out)


def bound(judge: Judge, hosted: bool) -> Side:
    """The shipped plan: its inputs on the device, or those of a scheduler staged from the host in each step."""
    from bench.sides import Place

    work = judge.workload
    # What the device alone knows stays there.
    known = tuple(n for n in ours.per_request(work) if n != "num_rejected")
    names = known if hosted else ()
    built = ours.placed(build(work.plan, work.sizes, Place(judge.device).arch()), names)
    name = "ours, from the host" if hosted else "ours, on the device"
    if judge.device == "cpu":
        from bench.interpreted import Interpreted

        run = Interpreted(built, judge)
        return Side(name, run, lambda: run.buffers)
    step = ours.step_of(built, torch.device("cuda", torch.cuda.current_device()))
    values = ours.bind(step, work, "cuda", names)
    fresh = {n: v for n, v in values.items() if n in names or isinstance(v, int)}
    stage = (lambda: step.stage(**fresh)) if hosted else (lambda: None)
    return Side(
        name,
        (lambda: step(**fresh)) if hosted else step,
        lambda: dict(step.outputs),
        recorded=step.emit,
        stage=stage,
        close=step.close,
    )


def sides(judge: Judge) -> list[Side]:
    rivals = [rival(v4_rivals.Before, judge), rival(v4_rivals.After, judge)]
    hosted = [bound(judge, True)] if judge.device != "cpu" else []
    return [*rivals, bound(judge, False), *hosted]


def wrong(judge: Judge, side: Side) -> list[str]:
    """Twice over buffers that hold anything: a call must not live on what the one before left."""
    from bench.sides import Place

    found = []
    for _ in range(2):
        judge.reset(side.out())
        with Place(judge.device).masks():
            side.prepare()
        measure.synchronize()
        found += judge.wrong(side.out())
    return found


# ------------------------------------------------------------------------ a loop


class Model:
    """A known time of work, then the count of rejected drafts, which only the device has."""

    def __init__(self, requests: int) -> None:
        made = torch.randn(3, SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
        self.first, self.second, self.out = made
        self.rejected = torch.zeros(requests, dtype=torch.int32, device="cuda")

    def __call__(self) -> None:
        for _ in range(MODEL):
            torch.mm(self.first, self.second, out=self.out)
        self.rejected.zero_()


def wall_us(side: Side, model: Model, steps: int = 48, warm: int = 8) -> float:
    """Wall microseconds of a step."""
    step = waiting(side, model) if side.recorded is None else in_graph(side, model)
    took = device.steady_ns(step, steps, warm)
    torch.cuda.synchronize()
    return took / steps / 1e3


def waiting(side: Side, model: Model) -> Callable[[], None]:
    """The host waits for the counts of the step before, prepares, launches."""
    replay = measure.capture(model).replay
    told = torch.zeros_like(model.rejected, device="cpu").pin_memory()
    aside, done, returned = torch.cuda.Stream(), torch.cuda.Event(), torch.cuda.Event()

    def step() -> None:
        returned.synchronize()
        side.prepare()
        replay()
        done.record()
        with torch.cuda.stream(aside):
            aside.wait_event(done)
            told.copy_(model.rejected, non_blocking=True)
            returned.record()

    return step


def in_graph(side: Side, model: Model) -> Callable[[], None]:
    """Plan and model in one graph; what a step produced is read one step late."""
    assert side.recorded is not None
    recorded = side.recorded
    side.stage()

    def whole() -> None:
        recorded()
        model()

    replay = measure.capture(whole).replay
    told = [torch.zeros_like(model.rejected, device="cpu").pin_memory() for _ in range(2)]
    returned = [torch.cuda.Event() for _ in range(2)]
    turn = 0

    def step() -> None:
        nonlocal turn
        side.stage()
        replay()
        told[turn].copy_(model.rejected, non_blocking=True)
        returned[turn].record()
        turn = 1 - turn
        returned[turn].synchronize()  # of the step before; at the first one of none

    return step


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
