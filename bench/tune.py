# pyright: basic
"""What each choice of the schedule costs on this GPU: the time of every region alone, and of the kernel under variants.

    python -m bench.tune --plan v4_decode --batch 16 256 --query 4 --seconds 60 --out tune.jsonl
    TRITON_INTERPRET=1 python -m bench.tune --smoke

Variants are compiled by several processes first (a variant that misses the time is left out and said so), then
checked against the oracle and timed one after the other inside a CUDA graph of many.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import measure, ours, workloads
from bench.check import Judge
from metaplan.compiler import Built, build
from metaplan.errors import MetaplanError
from metaplan.lower.program import lower
from metaplan.ranges import Ranges
from metaplan.schedule import LIMITS, Schedule, Tail, Work, power, schedule
from metaplan.target import DEFAULT, Target, target

COMPILING = 0.6  # of the seconds go to compilation at most


@dataclass(frozen=True, slots=True)
class Variant:
    """One change: of the schedule's limits (no ``part``) or of the work or tail named ``part``."""

    what: str
    part: str = ""
    changes: tuple[tuple[str, int], ...] = ()
    alone: bool = False

    def of(self, base: Built) -> Schedule:
        """The schedule of ``base`` with the change; only ``part`` of it where it stands alone."""
        if not self.part:
            return schedule(
                base.stages.plans[-1], base.target, replace(LIMITS, **dict(self.changes))
            )
        works = tuple(
            _changed(w, dict(self.changes), base.target) if w.name == self.part else w
            for w in base.schedules[-1].works
            if not self.alone or w.name == self.part
        )
        tails = tuple(
            replace(t, **dict(self.changes)) if t.name == self.part else t
            for t in base.schedules[-1].tails
            if not self.alone or t.name == self.part
        )
        return replace(base.schedules[-1], works=works, tails=tails)


def _changed(work: Work, changes: dict[str, int], device: Target) -> Work:
    """A work with other rows, lanes or splits; ``waves`` sets how many programs a processor gets before they loop."""
    ranges = Ranges()
    waves = changes.pop("waves", LIMITS.waves)
    if not changes and waves == LIMITS.waves:
        return work
    work = replace(work, **changes)
    if not work.rows:
        assert work.lanes is not None
        return replace(work, programs=-(-ranges.bound(work.lanes) // work.tile))
    points = 1
    for width in work.widths(ranges):
        points *= width
    blocks = -(-points // work.rows_per_program)
    room = max(device.processors * waves // work.splits, 1)
    return replace(work, programs=min(blocks, room) * work.splits)


SWEPT = (
    ("num_warps", (1, 2, 4, 8)),
    ("scan_tile", (512, 1024, 2048, 4096, 8192)),
    ("waves", (2, 4, 8, 16, 32)),
    ("lanes", (256, 512, 1024, 2048)),
    ("recompute", (1 << 12, 1 << 14, 1 << 16, 1 << 20)),
    ("block_rows", (128, 512, 2048)),
)


def variants(base: Built, sweep: str) -> Iterator[Variant]:
    """The schedule as it is, every region alone, then the changes: the cheap and telling ones first."""
    chosen = base.schedules[-1]
    yield Variant("as scheduled")
    yield from (Variant(f"{part.name} alone", part.name, alone=True) for part in parts(chosen))
    if sweep == "regions":
        return
    programs = {base.program}
    limits = [(name, n) for name, tried in SWEPT for n in tried]
    both = list(itertools.product((1, 2, 8), (1024, 2048)))
    for changes in [
        *((one,) for one in limits),
        *((("num_warps", w), ("scan_tile", t)) for w, t in both if sweep == "all"),
    ]:
        one = Variant(_said(changes), changes=tuple(changes))
        made = lower((one.of(base),), base.stages.promises)
        if made not in programs:
            programs.add(made)
            yield one
    each = [list(_of_work(w)) for w in chosen.works] + [list(_of_tail(t)) for t in chosen.tails]
    for row in itertools.zip_longest(*each):
        yield from (one for one in row if one is not None)


def _said(changes: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {n}" for name, n in changes)


def parts(chosen: Schedule) -> tuple[Work | Tail, ...]:
    return (*chosen.works, *chosen.tails)


def _of_work(work: Work) -> Iterator[Variant]:
    if work.in_order or (not work.rows and work.lanes is None):
        return
    bound = 1 if work.lanes is None else Ranges().bound(work.lanes)
    if not work.rows:
        yield from (_one(work, tile=n) for n in (32, 64, 128, 256, 512, 1024) if n <= power(bound))
        return
    points = 1
    for width in work.widths(Ranges()):
        points *= width
    for rows in (1, 2, 4, 8, 16, 32):
        if rows != work.rows_per_program and rows <= power(points) and rows * work.tile <= 8192:
            yield _one(work, rows_per_program=rows)
    for tile in (128, 256, 512, 1024, 2048, 4096):
        if tile != work.tile and tile <= power(bound) and tile * work.rows_per_program <= 8192:
            yield _one(work, tile=tile)
    for splits in (1, 2, 4, 8):
        if splits != work.splits and splits <= -(-bound // work.tile):
            yield _one(work, splits=splits)
    for waves in (1, 2, 4, 16, 32, 64):
        if points // work.rows_per_program > waves * 132:
            yield _one(work, waves=waves)


def _of_tail(tail: Tail) -> Iterator[Variant]:
    for tile in (128, 256, 512, 1024, 2048):
        if tile != tail.tile and tile <= 4 * tail.tile:
            yield _one(tail, tile=tile)
    for programs in (1, 4, 16, 33, 66, 132, 264):
        if programs != tail.programs and programs <= 8 * tail.programs:
            yield _one(tail, programs=programs)


def _one(part: Work | Tail, **change: int) -> Variant:
    return Variant(
        f"{part.name}: {_said(change.items())}",
        part.name,
        tuple(change.items()),
    )


def varied(base: Built, one: Variant) -> Built:
    chosen = one.of(base)
    return replace(base, schedules=(chosen,), program=lower((chosen,), base.stages.promises))


def warm(case: tuple[Any, ...], arch: str, one: Variant) -> str:
    """In a process of its own: puts the compiled variant into the disk caches; the error in words if there is one."""
    from metaplan.runtime.device_step import compiled

    try:
        compiled(varied(built(workload(case), target(arch)), one))
    except Exception as error:  # noqa: BLE001  one variant that cannot be compiled is a row of the table
        return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return ""


def workload(case: tuple[Any, ...]) -> workloads.Workload:
    name, batch, query, room, every_field = case
    options = {"every_field": True} if every_field and name == "v4_decode" else {}
    return workloads.make(name, batch, query, room, **options)


def built(work: workloads.Workload, device: Target) -> Built:
    return ours.placed(build(work.plan, work.sizes, device))


def compile_all(
    case: tuple[Any, ...], arch: str, every: list[Variant], seconds: float, processes: int
) -> dict[Variant, str]:
    """Fills the disk caches side by side; what went wrong by variant, "late" for those that missed the time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.tune", "torch", "triton"])
    pool = ProcessPoolExecutor(processes, mp_context=context)
    started = {pool.submit(warm, case, arch, one): one for one in every}
    done, late = wait(started, timeout=seconds)
    result = {started[f]: f.result() for f in done} | {started[f]: "late" for f in late}
    pool.shutdown(wait=False, cancel_futures=True)
    return result


def registers(kernel: Any) -> str:
    """Registers and spilled bytes of a compiled kernel, once it is loaded."""
    kernel.binary._init_handles()
    return f"{kernel.binary.n_regs}/{kernel.binary.n_spills}"


def timed(base: Built, one: Variant, work: workloads.Workload, judge: Judge) -> dict[str, Any]:
    """GPU microseconds of a variant in a graph of many; checked first, unless it is only a region."""
    import torch

    device = torch.device(judge.device, torch.cuda.current_device())
    made = varied(base, one)
    step = ours.step_of(made, device)
    values = ours.bind(step, work, judge.device)
    out = ours.filled(step, values, work)
    row: dict[str, Any] = {"variant": one.what, "grid": made.program.kernels[-1].grid}
    judge.reset(out)
    step()
    torch.cuda.synchronize()
    wrong = [] if one.alone else judge.wrong(out)
    if wrong:
        row["wrong"] = wrong[:3]
    row["gpu_us"] = round(measure.graph_us(step.emit, calls=20, repeats=11), 3)
    row["registers"] = registers(step.kernels[-1])
    step.close()
    return row


def tune(
    case: tuple[Any, ...], sweep: str, seconds: float, processes: int
) -> Iterator[dict[str, Any]]:
    """A row for each variant of one case, within ``seconds``."""
    import torch

    from metaplan.runtime.device_step import device_target

    end = time.monotonic() + seconds
    _, arch = device_target("cuda")
    work = workload(case)
    base = built(work, target(arch))
    every = list(variants(base, sweep))
    errors = compile_all(case, arch, every, seconds * COMPILING, processes)
    judge = Judge(work, "cuda")
    head = dict(zip(("plan", "batch", "query", "capacity", "every_field"), case, strict=True))
    for one in every:
        left = end - time.monotonic()
        if errors.get(one) or left < 0:
            yield {**head, "variant": one.what, "error": errors.get(one) or "no time left"}
            continue
        try:
            yield {**head, **timed(base, one, work, judge)}
        except (RuntimeError, MetaplanError) as error:
            yield {**head, "variant": one.what, "error": str(error).splitlines()[0][:120]}
            if "illegal memory" in str(error) or "CUDA error" in str(error):
                return
        torch.cuda.empty_cache()


def table(rows: list[dict[str, Any]]) -> str:
    """Compact: regions with their share of the whole, then variants with their ratio to it, the fast ones first."""
    base = next(
        (r["gpu_us"] for r in rows if r["variant"] == "as scheduled" and "gpu_us" in r), None
    )
    timed_rows = [r for r in rows if "gpu_us" in r]
    alone = [r for r in timed_rows if r["variant"].endswith(" alone")]
    rest = sorted((r for r in timed_rows if r not in alone), key=lambda r: r["gpu_us"])
    lines = []
    for r in [*alone, *rest]:
        ratio = f"{r['gpu_us'] / base:5.2f}" if base else "    -"
        wrong = "  WRONG " + "; ".join(r["wrong"]) if "wrong" in r else ""
        lines.append(
            f"  {r['gpu_us']:9.2f} {ratio} {r['grid']:6d} {r['registers']:>7}  {r['variant']}{wrong}"
        )
    lines += [
        f"  {'-':>9}       {r['variant']}: {r['error']}"
        for r in rows
        if "error" in r and r["error"] not in ("late", "no time left")
    ]
    skipped = sum(r.get("error") in ("late", "no time left") for r in rows)
    if skipped:
        lines.append(f"  {skipped} variants left out: no time")
    return "\n".join(["     GPU us ratio   grid regs/spills", *lines])


def smoke() -> None:
    """Every variant of every plan at a tiny size, under the interpreter: still what the oracle says."""
    from triton.runtime.errors import InterpreterError

    from bench.interpreted import run

    failed = 0
    for name in workloads.PLANS:
        work = workloads.make(name, 3, 2, small=True)
        base = built(work, DEFAULT)
        every = list(variants(base, "main"))
        for one in every:
            try:
                wrong = run(varied(base, one), work)
            except InterpreterError as error:
                wrong = [str(error)]
            if wrong and not one.alone:
                failed += 1
                print(f"{name}, {one.what}: {wrong[:3]}", flush=True)
        print(f"{name}: {len(every)} variants", flush=True)
    if failed:
        raise SystemExit(f"{failed} variants are wrong")
    print("all as the oracle says")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plan", nargs="+", choices=workloads.PLANS, default=workloads.PLANS)
    parser.add_argument("--batch", nargs="+", type=int, default=(16, 256, 1024))
    parser.add_argument("--query", nargs="+", type=int, default=(4,))
    parser.add_argument(
        "--capacity", nargs="+", choices=("batch", "all", "mixed"), default=("batch",)
    )
    parser.add_argument(
        "--fields", choices=("decode", "all"), default="decode", help="of v4_decode"
    )
    parser.add_argument("--sweep", choices=("regions", "main", "all"), default="main")
    parser.add_argument("--seconds", type=float, default=300, help="for everything")
    parser.add_argument("--processes", type=int, default=14)
    parser.add_argument("--out", type=Path, help="a JSON line for each variant is appended")
    parser.add_argument(
        "--smoke", action="store_true", help="correctness only, under the interpreter"
    )
    asked = parser.parse_args()
    if asked.smoke:
        smoke()
        return
    cases = [
        (name, batch, query, room, asked.fields == "all")
        for room in asked.capacity
        for batch in asked.batch
        for query in asked.query
        for name in asked.plan
    ]
    end = time.monotonic() + asked.seconds
    for at, case in enumerate(cases):
        share = (end - time.monotonic()) / (len(cases) - at)
        if share <= 1:
            print(f"no time left for {cases[at:]}")
            return
        begin = time.monotonic()
        rows = []
        for row in tune(case, asked.sweep, share, asked.processes):
            rows.append(row)
            if asked.out is not None:
                with asked.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        name, batch, query, room, _ = case
        took = time.monotonic() - begin
        print(
            f"\n{name} B={batch} q={query} capacity {room}, {took:.0f} s\n{table(rows)}", flush=True
        )


if __name__ == "__main__":
    main()
