"""Copies compile for both vendors: one launch, nothing spilled, and pages are divided by shifting."""

from __future__ import annotations

import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp

import pytest
from test_targets import Facts, facts, types

from metaplan.compiler import Built, build
from metaplan.schedule import LIMITS
from metaplan.target import target
from tests.samples import SAMPLES

pytestmark = pytest.mark.compile

ARCHS = ("cuda:90", "hip:gfx942")
PLANS = ("draft_steps", "cache_groups", "both_copies")
FORMS = ("chosen", "shared")


def built(plan: str, arch: str, form: str) -> Built:
    sample = next(s for s in SAMPLES if s.name == plan)
    limits = LIMITS if form == "chosen" else replace(LIMITS, unroll=0)
    return build(sample.plan.ir, {**sample.sizes, "req": 512}, target(arch), limits)


def compiled(job: tuple[str, str, str]) -> tuple[tuple[Facts, ...], str]:
    """The kernels of ``(plan, target, form)`` and their text; runs in a process of its own."""
    from importlib.util import module_from_spec, spec_from_file_location

    from metaplan.runtime.compiled import compile_kernel

    plan, arch, _ = job
    made = built(*job)
    path = Path(mkdtemp(prefix="metaplan_")) / f"{plan}.py"
    path.write_text(made.source)
    spec = spec_from_file_location(plan, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    kernels = [
        compile_kernel(getattr(module, k.name), types(k), {}, target=arch, num_warps=k.num_warps)
        for k in made.program.kernels
    ]
    text = "\n".join(str(k.text.get("ptx") or k.text.get("amdgcn")) for k in kernels)
    return tuple(map(facts, kernels)), text


@pytest.fixture(scope="module")
def every() -> dict[tuple[str, str, str], tuple[tuple[Facts, ...], str]]:
    jobs = [(plan, arch, form) for plan in PLANS for arch in ARCHS for form in FORMS]
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), get_context("spawn")) as pool:
        return dict(zip(jobs, pool.map(compiled, jobs), strict=True))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("plan", PLANS)
def test_one_launch_without_spills(every, plan: str, arch: str, form: str) -> None:
    (kernel,), _ = every[plan, arch, form]
    assert kernel.local_bytes + kernel.spills + kernel.column_scans == 0
    assert kernel.stores > 0


def test_pages_that_are_written_out_are_divided_by_shifting(every) -> None:
    division = re.compile(r"\b(?:div|rem)\.[su]\d\d\b")
    _, written_out = every["cache_groups", "cuda:90", "chosen"]
    _, shared = every["cache_groups", "cuda:90", "shared"]
    assert not division.findall(written_out)
    assert division.findall(shared)


def test_the_tensors_of_a_list_are_global_memory(every) -> None:
    for arch, loads in (
        ("cuda:90", r"\bld\.(?!global|param|shared)\w+"),
        ("hip:gfx942", r"\bflat_load"),
    ):
        _, text = every["cache_groups", arch, "chosen"]
        assert not re.findall(loads, text)
