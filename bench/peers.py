# pyright: basic
"""Every plan beside the engine's own code that it replaces, at full size: launches, copies, waits, CPU us, GPU us.

    PYTHONPATH=.engines/vllm-0.33.0:.engines/sglang-0.5.23 python -m bench.peers --seconds 300 --out peers.jsonl
    TRITON_INTERPRET=1 PYTHONPATH=... python -m bench.peers --smoke

Both sides of a cell must first fill the same cells of the same buffers. They are then timed in one process. GPU us: in
a CUDA graph of many calls, or, where the engine's call waits or stages and no graph takes it, the sum of the device's
kernels, copies and memsets, on both sides ("gpu_by": "events"). Launches and copies are counted by torch's profiler
while everything is compiled side by side. What matters most runs first; a cell that fails is one line.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.processes import Row, Worker, context, side_by_side
from metaplan.machine import machine

BATCHES = (256, 1024, 16, 64, 1)
QUERIES = (4, 1)
PATIENCE = 90.0  # seconds that a cell may take to compile, before its process is ended
QUICK = 30.0  # seconds for its times, when it is compiled
EACH = 1.2  # seconds of the times of one cell, about: no more cells are compiled than can be timed
PREPARING = 0.45  # of all seconds go to compiling and counting side by side at most
MANY = 40  # launches of an engine's call, where they were not counted
PRELOAD = ("torch", "triton", "numpy", "metaplan", "bench.measure")


@dataclass(frozen=True, slots=True)
class Job:
    """A cell of the table and what is wanted of it: ``counts``, ``times`` or ``events``."""

    peer: str
    batch: int
    query: int
    stage: str = "counts"
    launches: int = MANY
    live: bool = False


def jobs(
    peers: Iterable[str], batches: Iterable[int], queries: Iterable[int], live: bool = False
) -> list[Job]:
    """Every cell, the ones that matter most first: all peers at one batch, then at the next."""
    named, sizes = list(peers), [b for b in (*BATCHES, *batches) if b in batches]
    lengths = [q for q in (*QUERIES, *queries) if q in queries]
    blocks = [(b, q) for q in dict.fromkeys(lengths) for b in dict.fromkeys(sizes)]
    return [Job(name, b, q, live=live) for b, q in blocks for name in named]


def work(job: Job) -> Row:
    """One stage of a cell, on the GPU, both sides in this process."""
    from bench.beside import Beside
    from tests.peers.families import peers

    begin = time.perf_counter()
    cell = Beside(peers()[job.peer], job.batch, job.query, live=job.live)
    wrong = cell.wrong()
    row: Row = {"checked": not wrong}
    if wrong:
        row["wrong"] = wrong[:4]
    elif job.stage == "counts":
        row |= cell.counts()
    elif job.stage == "times":
        row |= cell.times(job.launches)
    else:
        row |= cell.events()
    cell.close()
    return row | {"took_s": round(time.perf_counter() - begin, 2)}


def joined(*rows: Row | None) -> Row:
    """The stages of a cell as one row; with the ratios, ours over theirs, of what both sides have."""
    made: Row = {}
    for row in rows:
        for name, value in (row or {}).items():
            old = made.get(name)
            match value:
                case dict():
                    made[name] = {**(old or {}), **value}
                case bool():
                    made[name] = value and old is not False
                case float() if name == "took_s":
                    made[name] = round(value + (old or 0.0), 2)
                case _:
                    made[name] = value
    ours, theirs = made.get("ours", {}), made.get("theirs", {})
    made["ratio"] = {
        name: round(ours[name] / theirs[name], 4)
        for name in ("cpu_us", "gpu_us")
        if ours.get(name) and theirs.get(name)
    }
    return made


def failed(row: Row | None) -> bool:
    return row is not None and ("error" in row or not row.get("checked", True))


class Run:
    """One run of the command: what it was asked for, and where its lines go."""

    def __init__(self, asked: argparse.Namespace) -> None:
        from tests.peers.families import peers

        self.out: Path | None = asked.out
        self.name = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.end = time.monotonic() + asked.seconds
        self.peers = peers()
        unknown = [name for name in asked.peer or () if name not in self.peers]
        if unknown:
            raise SystemExit(f"no peer is called {', '.join(unknown)}; see docs/coverage.md")
        self.todo = jobs(asked.peer or self.peers, asked.batch, asked.query, asked.live)
        self.processes = asked.processes
        self.context = context(PRELOAD)

    def __call__(self) -> None:
        self.write({"kind": "run", "live": self.todo[0].live, **machine()})
        counted = self.prepare()
        left = self.measure(counted)
        for job in left:
            row = counted[job]
            if row is not None:
                self.tell(job, joined(row))
        if left:
            print(f"no time for the times of {len(left)} of {len(self.todo)} cells")

    def prepare(self) -> dict[Job, Row | None]:
        """Compiles and counts every cell side by side."""
        begin = time.monotonic()
        seconds = self.end - begin
        first = self.todo[: max(int(seconds * (1 - PREPARING) / EACH), 1)]
        rows = side_by_side(
            first, work, self.context, self.processes, seconds * PREPARING, PATIENCE
        )
        done = [row for row in rows if row is not None]
        print(
            f"prepared {len(done)} of {len(self.todo)} cells in {time.monotonic() - begin:.0f} s,"
            f" {sum(map(failed, done))} of them with an error",
            flush=True,
        )
        return dict.fromkeys(self.todo) | dict(zip(first, rows, strict=True))

    def measure(self, counted: dict[Job, Row | None]) -> list[Job]:
        """Times one cell after the other on a quiet machine; the cells that no time was left for.

        Device events come from a process of their own: a profiler leaves launches slower behind.
        """
        timing, profiling = Worker(work, self.context), Worker(work, self.context)
        left = [*self.todo]
        while left and time.monotonic() < self.end:
            job = left.pop(0)
            rows = [counted[job]]
            if not failed(rows[0]):
                launches = int((rows[0] or {}).get("theirs", {}).get("launches", MANY))
                timed = timing.run(replace(job, stage="times", launches=launches), QUICK)
                rows.append(timed)
                if "not_recorded" in timed:
                    timing.close()  # a broken recording may leave its traces
                if not failed(timed) and "gpu_by" not in timed:
                    rows.append(profiling.run(replace(job, stage="events"), QUICK))
            self.tell(job, joined(*rows))
        timing.close()
        profiling.close()
        return left

    def tell(self, job: Job, row: Row) -> None:
        """One line of the results, and one for a person."""
        peer = self.peers[job.peer]
        head = {"peer": job.peer, "engine": peer.engine, "plan": peer.plan}
        cell = {"batch": job.batch, "query": job.query}
        self.write({"kind": "peer", **head, **cell, **row})
        print(line(job, row), flush=True)

    def write(self, row: Row) -> None:
        if self.out is not None:
            with self.out.open("a") as file:
                file.write(json.dumps({"run": self.name, **row}) + "\n")


def line(job: Job, row: Row) -> str:
    """A cell for a person: theirs -> ours."""
    head = f"{job.peer:44} B={job.batch:<5}q={job.query}"
    if "error" in row:
        return f"{head} {row['error']}"
    if not row["checked"]:
        return f"{head} WRONG {row['wrong'][0]}"
    ours, theirs = row["ours"], row["theirs"]
    shared = ("launches", "host_to_device", "synchronizations", "cpu_us", "gpu_us")
    said = [f"{n} {theirs[n]:g} -> {ours[n]:g}" for n in shared if n in ours and n in theirs]
    return f"{head} {', '.join(said)}; by {row.get('gpu_by', 'nothing')} ({row['took_s']} s)"


# ------------------------------------------------------------------- without a GPU


@dataclass(frozen=True, slots=True)
class Small:
    """A peer at full size with few requests, for the interpreter."""

    peer: str
    requests: int = 3
    query: int = 2


def interpreted(job: Small) -> Row:
    """The kernel, then the step as it is bound for the GPU, beside the engine's code on the CPU."""
    from bench.beside import Beside, exact
    from metaplan.checking.masks import boolean_masks
    from tests.interp.differential import Compiled
    from tests.peers.beside import KERNEL, compare
    from tests.peers.families import peers

    begin = time.perf_counter()
    peer = peers()[job.peer]
    setup, batch = peer.bench(job.requests, job.query)
    wrong = compare(
        peer, Compiled(setup.declare().ir, exact(setup.sizes, batch.live)), batch, (KERNEL,)
    )
    with boolean_masks():
        wrong += Beside(peer, job.requests, job.query, "cpu").wrong()
    took = round(time.perf_counter() - begin, 2)
    return {"checked": not wrong, "wrong": wrong[:4], "took_s": took}


def smoke(names: Iterable[str] | None) -> None:
    """Every peer that runs on a CPU; those that differ, fail or take their process with them are told."""
    from tests.peers.families import peers

    worker, bad = Worker(interpreted, context(PRELOAD)), 0
    for name, peer in peers().items():
        if peer.device_only or (names and name not in names):
            continue
        row = worker.run(Small(name), PATIENCE)
        bad += failed(row)
        said = row.get("error") or "; ".join(row["wrong"]) or f"the same cells ({row['took_s']} s)"
        print(f"{name:44} {said}", flush=True)
    worker.close()
    if bad:
        raise SystemExit(f"{bad} peers are not equal to their plans")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", nargs="+", metavar="NAME", help="of tests/peers/families")
    parser.add_argument("--batch", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--query", nargs="+", type=int, default=QUERIES)
    parser.add_argument("--seconds", type=float, default=300, help="for everything")
    most = max((os.cpu_count() or 4) - 2, 1)
    parser.add_argument(
        "--processes", type=int, default=most, help="that compile and count side by side"
    )
    parser.add_argument("--out", type=Path, help="a JSON line for each cell is appended")
    parser.add_argument(
        "--live",
        action="store_true",
        help="read live numbers from the device, where axes are full too",
    )
    parser.add_argument("--smoke", action="store_true", help="correctness only, on the CPU")
    asked = parser.parse_args()
    if asked.smoke:
        smoke(asked.peer)
    else:
        Run(asked)()


if __name__ == "__main__":
    main()
