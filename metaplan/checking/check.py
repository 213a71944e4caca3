"""All checks of one plan, one result after the other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metaplan import assembly, compiler, config, reference
from metaplan.errors import MetaplanError
from metaplan.target import TARGETS, target


@dataclass(frozen=True, slots=True)
class Result:
    """One batch or one target; ``message`` says what was wrong."""

    name: str
    message: str = ""

    @property
    def passed(self) -> bool:
        return not self.message


def check(plan: str, sizes: Mapping[str, int], *, batches: int, seed: int) -> Iterator[Result]:
    """The kernel beside the plan's NumPy meaning on random batches, then every target."""
    chosen = reference.find(plan)
    yield from _batches(plan, sizes, batches, seed)
    for name in TARGETS:
        built = compiler.build(chosen.plan.ir, {**chosen.sizes, **sizes}, target(name))
        try:
            assembly.assembly(built)
        except MetaplanError as error:
            yield Result(name, str(error))
        else:
            yield Result(name)


def count(batches: int) -> int:
    """How many results ``check`` gives."""
    return batches + len(TARGETS)


def _batches(plan: str, sizes: Mapping[str, int], batches: int, seed: int) -> Iterator[Result]:
    asked = json.dumps(
        {"plan": plan, "sizes": reference.spelled(sizes), "batches": batches, "seed": seed}
    )
    command = [sys.executable, "-m", "metaplan.checking.child", asked]
    with subprocess.Popen(
        command, env=config.interpreted(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        for line in child.stdout:
            told = json.loads(line)
            yield Result(told["name"], "; ".join(told["wrong"]))
        said = child.stderr.read()
    if child.returncode:
        yield Result("the kernel", said.strip().splitlines()[-1])
