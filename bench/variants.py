# pyright: basic
"""What each choice of the schedule costs beside an engine: GPU us of a peer's plan under variants, and of the peer.

    PYTHONPATH=.engines/vllm-0.33.0:.engines/sglang-0.5.23 python -m bench.variants --seconds 120 --out variants.jsonl \\
        --cell "vLLM EAGLE step@256" "vLLM EAGLE step@16"
    TRITON_INTERPRET=1 PYTHONPATH=... python -m bench.variants --smoke --cell "vLLM EAGLE step@3"

A variant is another value of one of the schedule's limits, a region of the kernel alone, or an edit of the kernel's
lines that shows what they cost ("flags left out"). Every limit's variant that changes the program
must fill the same cells as the engine. All is compiled and recorded side by side first; then the GPU belongs to one
process after the other, which only replays its graphs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from bench.beside import Beside
from bench.processes import attempt, context
from metaplan.compiler import Built, build
from metaplan.exact import Exact
from metaplan.lower.program import lower
from metaplan.schedule import LIMITS

PRELOAD = ("torch", "triton", "numpy", "metaplan", "bench.beside")
PREPARING = 0.8  # of the seconds go to compiling and recording at most
CALLS, REPEATS = 20, 11
SWEPT = (
    ("num_warps", (8, 2, 1)),
    ("shared", (4, 16)),
    ("summed", (1024, 1 << 14)),
    ("scan_tile", (2048, 8192, 4096, 512)),
    ("long_waves", (4, 16)),
    ("one_warp", (0, 1 << 12)),
    ("waves", (8, 2, 16)),
    ("wide_rows", (8, 4)),
    ("wide_lanes", (128, 32)),
    ("lanes", (1024, 256)),
    ("long", (2048, 512)),
    ("spread", (4, 1)),
    ("vector", (32, 64, 256)),
    ("folded", (8, 64)),
    ("packed", (32, 1 << 30)),
    ("block_points", (1024, 1 << 14)),
    ("compared", (1 << 20, 1 << 28)),
    ("counted", (128, 512)),
    ("askers", (1, 4, 8, 32)),
)
PARTS = ("flags left out", "nothing done", " alone")  # variants that do not do all
BOTH = (
    {"num_warps": 8, "askers": 1},
    {"num_warps": 16, "askers": 1},
    {"num_warps": 8, "wide_lanes": 128},
    {"num_warps": 2, "waves": 8},
    {"num_warps": 2, "waves": 16},
    {"num_warps": 1, "waves": 16},
    {"lanes": 1024, "wide_rows": 4, "wide_lanes": 128},
    {"lanes": 1024, "wide_rows": 4, "wide_lanes": 128, "waves": 8},
    {"lanes": 1024, "wide_rows": 4, "wide_lanes": 128, "num_warps": 2, "waves": 16},
    {"lanes": 1024, "wide_rows": 2, "wide_lanes": 128, "num_warps": 1, "waves": 16},
    {"waves": 16, "wide_rows": 4},
    {"waves": 16, "wide_rows": 4, "wide_lanes": 256},
    {"waves": 8, "wide_rows": 8, "packed": 32},
)
BODY = re.compile(r"^    program = tl\.program_id\(0\)$", re.MULTILINE)
LOOP = re.compile(r"^( *for \w+ in )range\((.*)\):$", re.MULTILINE)
UNROLLED = re.compile(r"tl\.range\((.*), loop_unroll_factor=\d+\)")
FLAGS = re.compile(r"^( *)(?:count|count_all)\(flags_ptr.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cell:
    """A peer at one batch."""

    peer: str
    batch: int
    query: int
    only: tuple[str, ...] = ()  # variants, as the results name them; all of them if there is none

    @classmethod
    def named(cls, text: str, query: int, only: tuple[str, ...]) -> Cell:
        """From "name@batch"."""
        name, _, batch = text.rpartition("@")
        return cls(name, int(batch), query, only)


class Varied(Beside):
    """Both sides of a peer, ours under one schedule after the other."""

    def __init__(self, cell: Cell, device: str) -> None:
        from tests.peers.families import peers

        super().__init__(peers()[cell.peer], cell.batch, cell.query, device)
        self.setup, _ = self.peer.bench(cell.batch, cell.query)
        self.base: Built = self.step.built
        self.only = cell.only

    def variants(self) -> Iterator[tuple[str, Built]]:
        """Those that are asked for; the schedule as it is always."""
        for name, made in self._variants():
            if not self.only or name in ("as scheduled", *self.only):
                yield name, made

    def _variants(self) -> Iterator[tuple[str, Built]]:
        """The schedule as it is, the edits of its lines, each region alone, then the limits that change the program."""
        yield "as scheduled", self.base
        plan = self.setup.declare().ir
        if any(isinstance(size, Exact) for size in self.sizes.values()):
            yield "live sizes read", build(plan, self.setup.sizes, self.base.target, linked=True)
        if FLAGS.search(self.base.source):
            yield "flags left out", edited(self.base, FLAGS, lambda m: f"{m[1]}pass")
        yield "nothing done", edited(self.base, BODY, lambda m: f"{m[0]}\n    return")
        yield from launches(self.base)
        if LOOP.search(self.base.source):
            for n in (2, 3):
                staged = edited(self.base, LOOP, partial(_staged, stages=n))
                yield f"loops in {n} stages", staged
        if UNROLLED.search(self.base.source):
            yield "loops not unrolled", edited(self.base, UNROLLED, r"range(\1)")
            for n in (2, 8):
                by = rf"tl.range(\1, loop_unroll_factor={n})"
                yield f"loops unrolled {n} times", edited(self.base, UNROLLED, by)
        yield from regions(self.base)
        seen = {self.base.program}
        for changes in (*({name: n} for name, tried in SWEPT for n in tried), *BOTH):
            limits = replace(LIMITS, **changes)
            made = build(plan, self.sizes, self.base.target, limits, linked=True)
            if made.program not in seen:
                seen.add(made.program)
                yield ", ".join(f"{name} {n}" for name, n in changes.items()), made

    def use(self, made: Built) -> Any:
        """Makes ``made`` our side, bound to the same inputs; its step."""
        from metaplan.runtime.device_step import DeviceStep

        self.step = DeviceStep(made, self.step.device, 1)
        self.bind()
        return self.step


def edited(base: Built, lines: re.Pattern[str], by: Any) -> Built:
    """The same build with some lines of its kernels replaced: it shows what those cost, not what is right."""
    made = replace(base)
    made.__dict__["source"] = lines.sub(by, base.source)
    return made


def _staged(loop: re.Match[str], stages: int) -> str:
    return f"{loop[1]}tl.range({loop[2]}, num_stages={stages}):"


def launches(base: Built) -> Iterator[tuple[str, Built]]:
    """Each launch of several alone; the others' programs leave at once."""
    found = [m.start() for m in BODY.finditer(base.source)]
    for at, start in enumerate(found if len(found) > 1 else ()):

        def others(m: re.Match[str], start: int = start) -> str:
            return m[0] if m.start() == start else f"{m[0]}\n    return"

        yield f"launch {at} alone", edited(base, BODY, others)


def regions(base: Built) -> Iterator[tuple[str, Built]]:
    """Each work and tail of the last launch alone, where there are several."""
    chosen = base.schedules[-1]
    parts = [*chosen.works, *chosen.tails]
    for part in parts if len(parts) > 1 else ():
        one = replace(
            chosen,
            works=tuple(w for w in chosen.works if w is part),
            tails=tuple(t for t in chosen.tails if t is part),
        )
        made = lower((*base.schedules[:-1], one), base.stages.promises)
        yield f"{part.name} alone", replace(base, schedules=(one,), program=made)


# ----------------------------------------------------------------- on the GPU


@dataclass(slots=True)
class Recorded:
    """A graph of many calls, not timed yet; ``held`` is what it reads and writes."""

    row: dict[str, Any]
    calls: int = CALLS
    graph: Any = None
    held: tuple[Any, ...] = ()

    def timed(self) -> dict[str, Any]:
        if self.graph is None:
            return self.row
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        took = []
        for _ in range(REPEATS):
            self.graph.replay()
            start.record()
            self.graph.replay()
            end.record()
            torch.cuda.synchronize()
            took.append(start.elapsed_time(end) / self.calls * 1e3)
        return self.row | {"gpu_us": round(sorted(took)[REPEATS // 2], 3)}


def prepared(cell: Cell, end: float) -> Iterator[Recorded]:
    """The engine's call and every variant of a cell, recorded; nothing more after ``end``."""
    from bench import measure

    head = {"peer": cell.peer, "batch": cell.batch, "query": cell.query}
    sides = Varied(cell, "cuda")
    head["plan"] = sides.peer.plan
    calls = 10 if sides.states else CALLS
    run = sides.theirs()
    run.call()
    want = arrays(run.read())
    if run.captured:
        row = {**head, "variant": "the engine"}
        try:
            yield Recorded(row, calls, measure.capture(run.call, calls), (sides, run))
        except RuntimeError as error:
            yield Recorded(row | {"error": said(error)})
    for name, made in sides.variants():
        if time.monotonic() > end:
            return
        row = {**head, "variant": name, "grid": [k.grid for k in made.program.kernels]}
        try:
            step = sides.use(made)
            if not name.endswith(PARTS):
                row |= checked(sides, want)
            sides.reset()
            if sides.staged:
                step.stage()
            yield Recorded(row, calls, measure.capture(step.emit, calls), (sides, step))
        except Exception as error:  # noqa: BLE001  one variant that fails is one line of the results
            yield Recorded(row | {"error": said(error)})


def checked(sides: Varied, want: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with our cells after one step."""
    from tests.peers.peer import differences

    sides.reset()
    sides.step()
    torch.cuda.synchronize()
    found = {**sides.step.outputs, **{n: sides.tensors[n] for n in sides.states}}
    wrong = differences({n: x.cpu().numpy() for n, x in found.items()}, want)
    return {"wrong": wrong[:2]} if wrong else {}


def arrays(results: Any) -> dict[str, Any]:
    """What the engine filled, on the host: its buffers are filled again by what is recorded."""

    def host(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(host(x) for x in value)
        return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else value

    return {name: host(value) for name, value in results.items()}


def said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def serve(cells: Any, ready: Any, turn: Any, rows: Any, end: float) -> None:
    """A process: records cells until ``end``, waits for all others, then times its graphs in its turn."""
    from bench import measure

    made: list[Recorded] = []
    while time.monotonic() < end:
        try:
            cell = cells.get(timeout=0.2)
        except Empty:  # nothing left to do
            break
        try:
            made += prepared(cell, end)
        except Exception as error:  # noqa: BLE001  one cell that fails is one line of the results
            made.append(Recorded({"peer": cell.peer, "batch": cell.batch, "error": said(error)}))
    ready.release()
    with turn:
        attempt(lambda _: {"done": measure.awake()}, None)
        for one in made:
            rows.put(attempt(Recorded.timed, one))
    rows.put(None)


def run(cells: list[Cell], seconds: float, processes: int) -> Iterator[dict[str, Any]]:
    """A row for each variant of each cell, within ``seconds`` about."""
    begin = time.monotonic()
    made = context(PRELOAD)
    todo, rows, ready, turn = made.Queue(), made.Queue(), made.Semaphore(0), made.Lock()
    for cell in cells:
        todo.put(cell)
    count = min(processes, len(cells))
    with turn:  # nobody times before everybody has compiled
        args = (todo, ready, turn, rows, begin + seconds * PREPARING)
        started = [made.Process(target=serve, args=args, daemon=True) for _ in range(count)]
        for process in started:
            process.start()
        for _ in started:
            ready.acquire(timeout=max(begin + seconds * 0.9 - time.monotonic(), 0.1))
        print(f"compiled in {time.monotonic() - begin:.0f} s", flush=True)
    left = count
    while left and time.monotonic() < begin + seconds * 1.2:
        try:
            row = rows.get(timeout=1)
        except Empty:  # a process that ended sends nothing any more
            if not any(process.is_alive() for process in started):
                return
            continue
        left -= row is None
        if row is not None:
            yield row


# ------------------------------------------------------------- without a GPU


def smoke(cells: list[Cell]) -> None:
    """Every limit's variant of every cell, under the interpreter: still what the engine says."""
    from metaplan.checking.masks import boolean_masks
    from tests.interp.differential import Compiled, load
    from tests.peers.beside import KERNEL, prepared, wrong
    from tests.peers.families import peers

    bad = 0
    for cell in cells:
        peer = peers()[cell.peer]
        sides = Varied(cell, "cpu")
        run = prepared(peer, sides.base.bound, sides.batch)
        with boolean_masks():
            run.call()
        for name, made in sides.variants():
            print(f"{cell.peer:44} {name}: {[k.grid for k in made.program.kernels]}", flush=True)
            if name.endswith(PARTS):
                compile(made.source, name, "exec")
                continue
            ours = Compiled(sides.setup.declare().ir, sides.sizes)
            ours.built, ours.module = made, load(made.source, made.program.name)
            found = wrong(run, ours, sides.batch, (KERNEL,))
            bad += bool(found)
            print("\n".join(found), end="\n" if found else "", flush=True)
    if bad:
        raise SystemExit(f"{bad} variants are wrong")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", nargs="+", required=True, metavar="NAME@BATCH")
    parser.add_argument("--query", type=int, default=4)
    parser.add_argument("--variant", nargs="+", help="only these, as the results name them")
    parser.add_argument("--seconds", type=float, default=120, help="for everything")
    most = max((os.cpu_count() or 4) - 1, 1)
    parser.add_argument("--processes", type=int, default=most)
    parser.add_argument("--out", type=Path, help="a JSON line for each variant is appended")
    parser.add_argument("--smoke", action="store_true", help="correctness only, on the CPU")
    asked = parser.parse_args()
    cells = [Cell.named(text, asked.query, tuple(asked.variant or ())) for text in asked.cell]
    if asked.smoke:
        smoke(cells)
        return
    for row in run(cells, asked.seconds, asked.processes):
        line = json.dumps(row)
        print(line, flush=True)
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
