"""One drawn plan through every way: declared, compiled, run on some batches, compared with its meaning."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

import metaplan as mp
from metaplan import interp, ir
from metaplan.errors import MetaplanError
from tests.fuzz.batches import NoBatch, batch, copied, garbage
from tests.fuzz.declaring import declared, entry, usable, user_file, users_own
from tests.fuzz.outcomes import FAILED, REFUSED, Outcome, Wrong, innermost
from tests.fuzz.plans import Case
from tests.fuzz.ways import WAYS, Way

SECONDS = 120
"""A plan that takes longer to compile is told as a failure."""
RUNNING = 60
"""A plan that takes longer to run is compared on fewer batches."""
CELLS = 1 << 22
"""A plan with larger arrays is declared and compiled only."""
OVERFULL = "more points than the capacity"


@dataclass(slots=True)
class Clock:
    """Whether the time is over: what runs may wrap the error that says so."""

    late: bool = False


@contextmanager
def limited(seconds: int) -> Iterator[Clock]:
    """Raises TimeoutError after ``seconds``."""
    clock = Clock()

    def late(*_: object) -> None:
        clock.late = True
        raise TimeoutError(f"took longer than {seconds} s")

    kept = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield clock
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, kept)


def tried(case: Case, device: str, batches: int) -> Outcome:
    """What becomes of ``case``."""
    out = Outcome(case.seed, source=case.source, sizes=case.sizes)
    start = time.perf_counter()
    with user_file(case.source):
        try:
            with limited(SECONDS):
                way = _compiled(case, device)
            if device != "compile":
                _through(way, case, batches, out)
        except MetaplanError as error:
            told = usable(error)
            refused = not told and type(error).__name__ != "DoesNotCompile"
            out.state = REFUSED if refused else FAILED
            out.what, out.text = (told and f"told: {told}") or entry(error), str(error)
        except Wrong as error:
            out.state, (out.what, out.text) = FAILED, error.args
        except Exception as error:  # noqa: BLE001 any other error is what is looked for
            out.state = REFUSED if users_own(error) else FAILED
            out.what = "python" if users_own(error) else innermost(error)
            out.text = f"{type(error).__name__}: {error}"
    out.seconds = time.perf_counter() - start
    return out


def _compiled(case: Case, device: str) -> Way:
    plan = declared(case.source)
    plan.text()
    return WAYS[device](plan.ir, sizes(plan.ir, case), case.seed)


def sizes(plan: ir.Plan, case: Case) -> dict[str, int]:
    """The sizes of ``case``; some root axes are full at every step, of which kernels of the user's own read nothing."""
    asked = {
        read.name for kernel in plan.opaques for read in kernel.reads if read.kind is ir.Held.LIVE
    }
    drawn, free = random.Random(case.seed + 1), {*plan.root_names()} - asked
    full = {name for name in sorted(free) if drawn.random() < 0.2}
    return {n: mp.exactly(size) if n in full else size for n, size in case.sizes.items()}


def _through(way: Way, case: Case, batches: int, out: Outcome) -> None:
    if _cells(way.plan) > CELLS:
        out.state, out.what = REFUSED, "too large to run"
        return
    with limited(RUNNING) as clock:
        try:
            for number in range(batches):
                _compared(way, case.seed, number, out)
        except NoBatch:
            out.state, out.what = REFUSED, "no such batch"
        except Exception:
            if not clock.late:
                raise
            if not out.batches:
                out.state, out.what = REFUSED, "too slow to run"


def _cells(plan: ir.Plan) -> int:
    """Cells of all arrays that a batch needs."""
    inputs = sum(prod(plan.extents(i)) for i in plan.inputs)
    return inputs + sum(prod(interp.buffer_shape(plan, o)) for o in plan.outputs)


def _compared(way: Way, seed: int, number: int, out: Outcome) -> None:
    """The same batch through the kernel and through its meaning."""
    plan, made = way.plan, batch(way.plan, seed, number)
    meant, given = copied(made.inputs), copied(made.inputs)
    want, got = garbage(plan, seed), garbage(plan, seed)
    with np.errstate(all="ignore"):
        broken = interp.run(plan, meant, made.live, want)
        said = _defined(plan, made.inputs, made.live, seed, want)
    flags = way.run(given, made.live, got)
    out.batches += 1
    out.broken += bool(broken)
    if broken and not sum(flags.values()):
        raise Wrong("flags", f"batch {number}, {made.live}: {dict(broken)} and no flag counts it")
    if any(OVERFULL in message for message in broken):
        return
    pairs = [(n, want[n], got[n], said[n]) for n in want]
    pairs += [(i.name, meant[i.name], given[i.name], None) for i in plan.inputs if i.state]
    for name, a, b, mask in pairs:
        differs = a != b if mask is None else (a != b) & mask
        out.cells += a.size if mask is None else int(mask.sum())
        if differs.any():
            at = tuple(int(i) for i in np.argwhere(differs)[0])
            raise Wrong(
                "cells",
                f"batch {number}, {made.live}: {name}{list(at)} is {b[at]}, the plan means {a[at]}; "
                f"{int(differs.sum())} cells differ",
            )


def _defined(
    plan: ir.Plan,
    inputs: Mapping[str, Any],
    live: Mapping[str, int],
    seed: int,
    want: dict[str, Any],
) -> dict[str, Any]:
    """Of which cells the plan says something: all but those of tails that are undefined."""
    loose = {o.name for o in plan.outputs if isinstance(o.tail, ir.Undefined)}
    if not loose:
        return {n: np.ones(b.shape, bool) for n, b in want.items()}
    other = {n: ~b for n, b in garbage(plan, seed).items()}
    interp.run(plan, copied(inputs), live, other)
    return {n: (b == other[n]) | (n not in loose) for n, b in want.items()}
