# pyright: basic
"""Our plans beside every other way to fill the same buffers: launches, CPU us and GPU us in one run.

    python -m bench.plans --engine .engines/vllm-0.33.0 --seconds 340 --out bench/results/plans.jsonl
    TRITON_INTERPRET=1 python -m bench.plans --smoke --engine .engines/vllm-0.33.0

Each side is checked against the oracle first, every cell of every buffer; the time of a side that is wrong is not
taken. What matters most runs first; when the seconds are over, the rest is listed as left out. A side that fails, or takes the
process with it, is one line of the results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bench import measure, sides, workloads
from bench.processes import Worker, attempt, context, side_by_side
from bench.sides import Case, Place, Side
from metaplan.machine import machine

COMPILED = (16, 128, 256, 1024)  # batches for torch.compile, with 4 query tokens
TABLED = {("v4_decode", 16, 1), ("v4_decode", 128, 2)}
EXTRA = (16, 256, 1024)  # batches of the variants, with 4 query tokens
# The batch whose driver calls are counted, last of all: a profiler leaves launches slower behind.
COUNTED = 256
# These compile nothing that another side does not.
NEEDLESS = ("torch eager", "numpy + H2D", "ours from host")
PRELOAD = ("bench.sides", "bench.rivals.hand_fused", "torch._inductor")
PATIENCE = 100.0  # seconds that one case may take before its process is ended
PREPARING = 0.3  # of all seconds go to compiling side by side at most


def cases(asked: argparse.Namespace) -> list[Case]:
    """Every case that was asked for, the ones that matter most first."""
    return [
        case
        for case in _every()
        if case.plan in asked.plan
        and case.batch in asked.batch
        and case.query in asked.query
        and (asked.side is None or case.side in asked.side)
    ]


def _every() -> Iterator[Case]:
    order = (16, 256, 1024, 64, 128, 1, 4096)
    cells = [(b, q) for q in (4, 1, 2) for b in order]
    for batch, query in cells:
        for plan in workloads.PLANS:
            yield Case(plan, batch, query, "ours")
            yield Case(plan, batch, query, "hand-fused")
            if plan in ("engine_step", "post_update"):
                yield Case(plan, batch, query, "engine")
            if query == 4:
                yield Case(plan, batch, query, "ours from host")
            if query == 4 or batch in EXTRA:
                yield Case(plan, batch, query, "ours for all")
            if plan == "engine_step" and query == 4:
                yield Case(plan, batch, query, "ours for mixed")
    for batch in EXTRA:
        for side in ("ours", "hand-fused", "engine"):
            yield Case("engine_step, two groups", batch, 4, side)
        yield Case("v4_decode, every field", batch, 4, "ours")
    for batch, query in cells:
        for plan in ("v4_decode", "engine_step", "paged_decode", "post_update"):
            if (query == 4 and batch in COMPILED) or (plan, batch, query) in TABLED:
                yield Case(plan, batch, query, "torch.compile, static")
    for plan in ("v4_decode", "engine_step", "paged_decode", "post_update"):
        yield Case(plan, 256, 4, "torch.compile, as called")
    for batch, query in cells:
        for plan in workloads.PLANS:
            yield Case(plan, batch, query, "torch eager")
            if plan != "post_update":  # its tables live on one side only: a copy of them is no step
                yield Case(plan, batch, query, "numpy + H2D")
    for plan in workloads.PLANS:
        for side in sides.SIDES:
            if side != "engine" or plan in ("engine_step", "post_update"):
                yield Case(plan, COUNTED, 4, side, count=True)


# ------------------------------------------------------------- one case


def run(case: Case, place: Place) -> dict[str, Any]:
    """Checks and times one side; the row of its results."""
    row = head(case)
    begin = time.perf_counter()
    side = sides.make(case, place)
    row |= side.facts
    side.reset()
    with place.masks():
        side.call()
    measure.synchronize()
    wrong = side.judge.wrong(side.out())
    row["checked"] = not wrong
    if wrong:
        row["wrong"] = wrong[:4]
    elif case.count:
        row |= measure.counts(side.call).to_json()
        del row["names"]
    elif place.device != "cpu":
        row |= times(case, side)
        row["written_bytes"] = sides.written_bytes(side.judge)
    side.close()
    return row | {"took_s": round(time.perf_counter() - begin, 2)}


def times(case: Case, side: Side) -> dict[str, Any]:
    """CPU us of every way to call, GPU us in a graph of many; the state tables are put back before each."""
    found: dict[str, Any] = {}
    growing = bool(side.judge.workload.states)  # each call appends to the tables
    loop = min(side.loop, 60 if growing else side.loop)
    repeats = 9 if loop > 10 else 4
    for name, call in {"cpu_us": side.call, **side.others}.items():
        side.reset()
        measure.awake()
        found[name] = round(measure.cpu_us(call, loop, repeats, min(loop, 10)), 2)
    if case.side not in ("numpy + H2D", "ours from host"):
        side.reset()
        measure.awake()
        calls = 15 if growing else 40
        found["gpu_us"] = round(measure.graph_us(side.recorded or side.call, calls, 11), 3)
    return found


def head(case: Case) -> dict[str, Any]:
    """The columns that say what a row is of."""
    return {
        "kind": "count" if case.count else "side",
        "variant": case.variant,
        "plan": case.plan,
        "batch": case.batch,
        "query": case.query,
        "side": case.side,
    }


def floors() -> dict[str, Any]:
    """What nothing can beat: an empty kernel through the driver and as a graph of one node, in this process."""
    import tempfile

    import torch

    from bench import launch
    from metaplan.runtime.compiled import compile_kernel, this_target
    from metaplan.runtime.launch import Launch, Sequence

    with tempfile.TemporaryDirectory() as folder:
        fn, types = launch.with_arguments(16, Path(folder))
        kernel = compile_kernel(fn, types, {}, target=this_target(launch.DEVICE), num_warps=4)
    tensors = {n: torch.zeros(64, dtype=torch.int32, device=launch.DEVICE) for n in types}
    direct = Sequence((Launch(kernel, 1, tensors),), launch.DEVICE, way="driver")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        direct.record()
    pinned = torch.zeros(1024, dtype=torch.uint8, pin_memory=True)
    copy = partial(torch.zeros_like(pinned, device="cuda").copy_, pinned, non_blocking=True)
    measure.awake()
    return {
        "kind": "floor",
        "driver_cpu_us": round(measure.cpu_us(launch.raw_call(kernel, direct)), 2),
        "replay_cpu_us": round(measure.cpu_us(graph.replay), 2),
        "gpu_us": round(measure.graph_us(direct.record), 3),
        "pinned_copy_cpu_us": round(measure.cpu_us(copy), 2),
    }


# -------------------------------------------------- processes and results


def write(out: Path | None, run_id: str, row: dict[str, Any]) -> None:
    row = {"run": run_id, **row}
    if out is not None:
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
    if "side" in row:
        print(line(row), flush=True)


def line(row: dict[str, Any]) -> str:
    """One row for a person."""
    head = f"{row['variant']:24} B={row['batch']:<5}q={row['query']} {row['side']:25}"
    if "error" in row:
        return f"{head} {row['error']}"
    if not row["checked"]:
        return f"{head} WRONG {row['wrong'][0]}"
    said = [f"{name} {row[name]:9.2f}" for name in row if name.startswith(("cpu_us", "gpu_us"))]
    said += [f"{n} {row[n]:g}" for n in ("launches", "kernels", "synchronizations") if n in row]
    return f"{head} {'  '.join(said) or 'as the oracle says'}  ({row['took_s']} s)"


def prepare(case: Case, place: Place) -> dict[str, Any]:
    """In a process of its own: compiles what a side compiles, into the disk caches."""
    import torch

    torch._inductor.config.compile_threads = 1
    side = sides.make(case, place)
    with place.masks():
        side.call()
    measure.synchronize()
    return {}


def prepare_all(wanted: list[Case], place: Place, seconds: float, processes: int) -> str:
    """Compiles many cases side by side; how it went, in words."""
    begin = time.monotonic()
    work = partial(prepare, place=place)
    made = side_by_side([*_spread(wanted)], work, context(PRELOAD), processes, seconds, seconds)
    done = [row for row in made if row is not None]
    failed = sum("error" in row for row in done)
    took = time.monotonic() - begin
    return f"prepared {len(done)} of {len(wanted)} in {took:.0f} s, {failed} of them with an error"


def _spread(wanted: list[Case]) -> Iterator[Case]:
    """The same order, the slow compilations spread among the quick ones: no processor waits for them at the end."""
    slow = [case for case in wanted if case.side.startswith("torch.compile")]
    quick = [case for case in wanted if case not in slow]
    each = max(len(quick) // (len(slow) + 1), 1)
    for at, case in enumerate(quick):
        if slow and at % each == 0:
            yield slow.pop(0)
        yield case
    yield from slow


def measured(case: Case | None, place: Place) -> dict[str, Any]:
    """The row of a case, or of doing nothing."""
    return floors() if case is None else run(case, place)


def measure_all(
    todo: list[Case], place: Place, out: Path | None, run_id: str, seconds: float
) -> list[Case]:
    """Runs one case after the other, in a new process where one died or hung; the cases left out."""
    end, left = time.monotonic() + seconds, [*todo]
    worker = Worker(partial(measured, place=place), context(PRELOAD))
    nothing = worker.run(None, PATIENCE)
    if "error" not in nothing:
        write(out, run_id, nothing)
    while left and time.monotonic() < end:
        case = left.pop(0)
        write(out, run_id, {**head(case), **worker.run(case, PATIENCE)})
    worker.close()
    return left


def smoke(asked: argparse.Namespace) -> None:
    """Every side that runs on a CPU at a tiny size, checked against the oracle."""
    place = Place("cpu", asked.engine, small=True)
    wanted = [
        case
        for case in cases(asked)
        if case.side != "ours from host"
        and (case.batch, case.query) in ((16, 4), (256, 4), (1024, 4), (16, 1))
    ]
    seen: set[Case] = set()
    failed = 0
    for one in wanted:
        case = Case(one.variant, min(one.batch, 3), one.query, one.side)
        if case in seen or (case.side.startswith("torch.compile") and not asked.compile):
            continue
        seen.add(case)
        row = {**head(case), **attempt(partial(measured, place=place), case)}
        failed += not row.get("checked")
        print(line(row), flush=True)
    if failed:
        raise SystemExit(f"{failed} sides are not what the oracle says")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", nargs="+", choices=workloads.PLANS, default=workloads.PLANS)
    parser.add_argument("--batch", nargs="+", type=int, default=workloads.BATCHES)
    parser.add_argument("--query", nargs="+", type=int, default=workloads.QUERIES)
    parser.add_argument(
        "--side", nargs="+", help=f"of {', '.join(sides.SIDES)}; ours for all, for mixed"
    )
    parser.add_argument("--seconds", type=float, default=340, help="for everything")
    parser.add_argument("--processes", type=int, default=12, help="that compile side by side")
    parser.add_argument("--engine", help="a folder with vLLM 0.33's sources (tests/peers/fetch.py)")
    parser.add_argument("--out", type=Path, help="a JSON line for each result is appended")
    parser.add_argument("--smoke", action="store_true", help="correctness only, on the CPU")
    parser.add_argument("--compile", action="store_true", help="with --smoke: torch.compile too")
    asked = parser.parse_args()
    if asked.smoke:
        smoke(asked)
        return
    end = time.monotonic() + asked.seconds
    todo, place = cases(asked), Place("cuda", asked.engine)
    run_id = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    slow = [case for case in todo if case.side not in NEEDLESS and not case.count]
    print(prepare_all(slow, place, asked.seconds * PREPARING, asked.processes), flush=True)
    write(asked.out, run_id, {"kind": "run", **machine()})
    left = measure_all(todo, place, asked.out, run_id, end - time.monotonic())
    if left:
        print(f"no time for {len(left)} of {len(todo)}: {sorted({c.side for c in left})}")


if __name__ == "__main__":
    main()
