# pyright: basic
"""How long ``compile()`` of each shipped plan takes: with empty caches, from the disk caches, and where the time goes.

    python -m bench.cold --out bench/results/plans.jsonl

Every compile runs in a process of its own, after torch and the GPU are up; an import is no part of it. The plans run
side by side, each on a core of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from metaplan.machine import machine

ROUNDS = ("cold", "warm")


def once(plan: str) -> dict[str, float]:
    """Seconds of one compile in this process: the whole, and the build before anything touches a device."""
    import torch
    import triton  # noqa: F401  its import is no part of a compile

    from metaplan.compiler import build
    from metaplan.plans import shipped
    from metaplan.runtime.device_step import device_target
    from metaplan.target import target

    chosen = shipped()[plan]
    _, arch = device_target("cuda")
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    begin = time.perf_counter()
    step = chosen.plan.compile(device="cuda", **chosen.sizes)
    torch.cuda.synchronize()
    whole = time.perf_counter() - begin
    begin = time.perf_counter()
    _ = build(chosen.plan.ir, chosen.sizes, target(arch)).source
    again = time.perf_counter() - begin
    step.close()
    return {"compile_s": round(whole, 4), "build_s": round(again, 4)}


def rounds(plan: str) -> dict[str, Any]:
    """A cold compile, then a warm one, each in a new process over the same caches."""
    row: dict[str, Any] = {"kind": "compile", "plan": plan}
    with tempfile.TemporaryDirectory() as folder:
        caches = {
            "METAPLAN_CACHE_DIR": f"{folder}/metaplan",
            "TRITON_CACHE_DIR": f"{folder}/triton",
        }
        for name in ROUNDS:
            command = [sys.executable, "-m", "bench.cold", "--once", plan]
            done = subprocess.run(
                command, env={**os.environ, **caches}, capture_output=True, text=True, timeout=120
            )
            if done.returncode:
                return row | {"error": " ".join(done.stderr.split())[-300:]}
            row[name] = json.loads(done.stdout.splitlines()[-1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", metavar="PLAN", help="compile it here and print the seconds")
    parser.add_argument("--out", type=Path, help="a JSON line for each plan is appended")
    asked = parser.parse_args()
    if asked.once:
        print(json.dumps(once(asked.once)))
        return
    from metaplan.plans import shipped

    run = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    with ThreadPoolExecutor() as side_by_side:
        made = list(side_by_side.map(rounds, shipped()))
    for row in [{"kind": "run", **machine()}, *made]:
        if asked.out is not None:
            with asked.out.open("a") as file:
                file.write(json.dumps({"run": run, **row}) + "\n")
        if row["kind"] == "compile":
            print({n: v for n, v in row.items() if n != "kind"}, flush=True)


if __name__ == "__main__":
    main()
