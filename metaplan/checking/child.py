"""The process in which kernels run: triton is told to interpret before it is first imported.

Reads one JSON object from its arguments, prints one JSON object a batch.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from metaplan import compiler, reference
from metaplan.checking.batches import batch, small
from metaplan.errors import PlanError
from metaplan.target import DEFAULT


def main() -> None:
    """Runs the batches that the arguments ask for."""
    from metaplan.checking.kernels import differences
    from metaplan.checking.quick import quicken

    quicken()
    asked, told = json.loads(sys.argv[1]), sys.stdout
    sys.stdout = sys.stderr  # a user's file may print when it is imported
    chosen = reference.find(asked["plan"])
    sizes = {**chosen.sizes, **reference.capacities(asked["sizes"])}
    try:
        roots = chosen.plan.ir.root_names()
        built = compiler.build(chosen.plan.ir, small(sizes, tuple(roots)), DEFAULT)
    except PlanError:
        built = compiler.build(chosen.plan.ir, sizes, DEFAULT)
    for number in range(asked["batches"]):
        seed = asked["seed"] + number
        made = batch(built.bound, np.random.default_rng(seed))
        found = differences(built, made, seed)
        live = ", ".join(f"{name}={count}" for name, count in made.live.items())
        line = json.dumps({"name": f"batch {seed} ({live})", "wrong": found})
        print(line, file=told, flush=True)


if __name__ == "__main__":
    main()
