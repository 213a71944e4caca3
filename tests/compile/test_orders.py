"""Sums and orders along rows, folds and searches compile for both vendors, whichever schedule they have."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp

import pytest
from test_targets import Facts, facts, types

from metaplan import codegen
from metaplan.compiler import build
from metaplan.lower.program import lower
from metaplan.target import target
from tests.interp.schedules import CHANGES
from tests.samples import SAMPLES

pytestmark = pytest.mark.compile

ARCHS = ("cuda:90", "hip:gfx942")
LAUNCHES = {
    "row_sums": 1,
    "sorts": 1,
    "lifted": 1,
    "partitions": 1,
    "folds": 1,
    "batch_folds": 2,
    "packed": 3,
    "running_folds": 3,
    "in_parts": 1,
    "wide_folds": 1,
    "chunked": 1,
    "bisected": 1,
}
SCHEDULES = ("", "two-rows", "eight-rows", "narrow")
Job = tuple[str, str, str]


def compiled(job: Job) -> tuple[Facts, ...]:
    """The kernels of ``(sample, target, schedule)``; runs in a process of its own."""
    from metaplan.runtime.compiled import compile_kernel

    name, arch, change = job
    sample = next(s for s in SAMPLES if s.name == name)
    made = build(sample.plan.ir, sample.sizes, target(arch))
    chosen = tuple(CHANGES[change](s) if change else s for s in made.schedules)
    program = lower(chosen, made.stages.promises)
    path = Path(mkdtemp(prefix="metaplan_")) / f"{name}.py"
    path.write_text(codegen.render(program))
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(
        facts(
            compile_kernel(
                getattr(module, k.name), types(k), {}, target=arch, num_warps=k.num_warps
            )
        )
        for k in program.kernels
    )


@pytest.fixture(scope="module")
def every() -> dict[Job, tuple[Facts, ...]]:
    jobs = [(name, arch, change) for name in LAUNCHES for arch in ARCHS for change in SCHEDULES]
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), get_context("spawn")) as pool:
        return dict(zip(jobs, pool.map(compiled, jobs), strict=True))


@pytest.mark.parametrize("change", SCHEDULES)
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("name", LAUNCHES)
def test_nothing_is_spilled_and_no_column_is_scanned(
    every, name: str, arch: str, change: str
) -> None:
    kernels = every[name, arch, change]
    assert len(kernels) == LAUNCHES[name]
    assert [k.local_bytes + k.spills + k.column_scans for k in kernels] == [0] * len(kernels)
    assert all(k.stores for k in kernels)
