# pyright: basic
"""The rows of bench/results/coverage.json: equal batches, launches and lines, without a GPU.

Every peer runs in a process of its own, on the batches of tests/peers.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import triton

from bench.code_lines import of_function, of_plan
from bench.launches import watching
from bench.processes import Row, Worker, context
from metaplan.checking.masks import boolean_masks
from metaplan.ir import Home
from metaplan.machine import machine
from tests.interp.differential import Compiled
from tests.peers.beside import compare, given_of
from tests.peers.engine import find_folder
from tests.peers.families import peers
from tests.peers.peer import Batch, Peer

COMMAND = "TRITON_INTERPRET=1 python -m bench.coverage --measure"
SEED = 33
COUNTED = 3  # batches, the last: random ones, in most peers
PATIENCE = 300.0  # seconds for all batches of a peer


def measured(name: str) -> Row:
    """The row of one peer, from a run of its batches on the CPU; in a process of its own."""
    peer = peers()[name]
    ours = Compiled(peer.setup.declare().ir, peer.setup.sizes)
    at = ours.plan.loc
    assert at is not None
    fetched = any(i.home is Home.HOST and i.dims for i in ours.plan.inputs)
    row: Row = {
        "plan": peer.plan,
        "engine": peer.engine,
        "there": {f: of_function(find_folder(peer.engine), f) for f in peer.replaces},
        "here": of_plan(Path(at.file), at.line),
        "launches": len(ours.built.program.kernels) + fetched,
        "theirs": None,
        "batches": 0,
        "equal": 0,
    }
    return row if peer.device_only else row | _run(peer, ours)


def _run(peer: Peer, ours: Compiled) -> Row:
    """Equal batches, and what the engine asks for in the second call on some: their median."""
    equal, first = 0, ""
    batches = list(peer.batches(np.random.default_rng(SEED)))
    for batch in batches:
        wrong = compare(peer, ours, batch)
        equal += not wrong
        first = first or "; ".join(f"{batch.label}: {words}" for words in wrong[:1])
    asked = [_asked(peer, ours, batch) for batch in batches[-COUNTED:]]
    made = zip(("launches", "copies", "waits"), zip(*asked, strict=True), strict=True)
    row: Row = {"theirs": {name: statistics.median_low(seen) for name, seen in made}}
    row |= {"batches": len(batches), "equal": equal}
    return row | ({"first_difference": first} if first else {})


def _asked(peer: Peer, ours: Compiled, batch: Batch) -> tuple[int, int, int]:
    given, before = given_of(batch, ours.plan)
    with boolean_masks(), watching() as watch:
        watch.know(given, before)
        run = peer.theirs(batch, given, before, "cpu")
        run.call()
        watch.know(run.read())
        watch.clear()
        run.call()
        return watch.launches, watch.copies, watch.waits


def measure(names: list[str] | None, out: Path) -> None:
    """Renews the rows of these peers, or of all; those of peers that are gone are dropped."""
    if not triton.knobs.runtime.interpret:
        raise SystemExit("set TRITON_INTERPRET=1: the kernels run in triton's interpreter here")
    known = [*peers()]
    old = json.loads(out.read_text())["peers"] if out.exists() else {}
    rows = {name: old[name] for name in known if name in old}
    worker, failed = Worker(measured, context(("torch", "triton"))), 0
    for name in names or known:
        row = worker.run(name, PATIENCE)
        failed += "error" in row
        if "error" not in row:
            rows[name] = row
        print(f"{name:52} {row.get('error') or _told(row)}", flush=True)
    worker.close()
    told = {
        "machine": machine() | {"command": COMMAND},
        "peers": {name: rows[name] for name in known if name in rows},
    }
    out.write_text(json.dumps(told, indent=1) + "\n")
    if failed:
        raise SystemExit(f"{failed} peers could not be measured; their rows are as they were")


def _told(row: Row) -> str:
    theirs, first = row["theirs"] or {}, row.get("first_difference", "")
    said = ", ".join(f"{n} {name}" for name, n in theirs.items())
    return f"equal on {row['equal']} of {row['batches']}; {said} there {first}"
