"""What scatters, combines, patches and packs compiles for both vendors: atomics without order, nothing spilled."""

from __future__ import annotations

import os
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any

import pytest
import triton
import triton.language as tl
from test_targets import Facts, facts, types

import metaplan as mp
from metaplan import i32
from metaplan.compiler import Built, build
from metaplan.target import target
from tests.samples import SAMPLES

pytestmark = pytest.mark.compile

ARCHS = ("cuda:90", "hip:gfx942")
PLANS = ("scattered", "shared", "accounts", "patches", "halves", "ordered")
LAUNCHES = {"scattered": 2, "shared": 3, "accounts": 3, "patches": 1, "halves": 1, "ordered": 2}
ATOMICS = {"scattered": 0, "shared": 13, "accounts": 6, "patches": 0, "halves": 0, "ordered": 1}
"""Statements that combine, the winners of "last" included."""


@triton.jit
def doubled(x):
    return x * 2


@triton.jit
def turned(program, n_ptr, size_ptr, starts_ptr, out_ptr, BLOCK: tl.constexpr = 128):
    size = tl.load(size_ptr)
    row = program * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(n_ptr + row, mask=row < size, other=0)
    start = tl.load(starts_ptr + row, mask=row < size, other=0)
    tl.store(out_ptr + size - 1 - row, doubled(value) + start, mask=row < size)


def turn(n: Any, size: int, starts: Any, *, out: Any) -> None:
    out[:size] = (n[:size] * 2 + starts[:size])[::-1]


@mp.plan
def ordered(n: Annotated[i32, "req", mp.below(5)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    starts = tok.indptr
    made = mp.opaque(
        turned,
        reads=(n, req.size, starts),
        writes=dict(out=mp.buffer(i32, req)),
        meaning=turn,
        programs=8,
    )
    tokens = mp.put(req, tok.row, tok.offset, combine="add")
    return dict(starts=starts, tokens=tokens, **made)


def built(name: str, arch: str) -> Built:
    if name == "ordered":
        return build(ordered.ir, {"req": 1024}, target(arch))
    sample = next(s for s in SAMPLES if s.plan.name == name)
    many = {"patch": 256, "req": 1024, "slot": 2048}
    sizes = {n: many.get(n, size) for n, size in sample.sizes.items()}
    return build(sample.plan.ir, sizes, target(arch))


def compiled(job: tuple[str, str]) -> tuple[tuple[Facts, ...], str]:
    """The kernels of ``(plan, target)`` and their assembly; runs in a process of its own."""
    from importlib.util import module_from_spec, spec_from_file_location

    from metaplan.runtime.compiled import compile_kernel

    made = built(*job)
    path = Path(mkdtemp(prefix="metaplan_")) / f"{job[0]}.py"
    path.write_text(made.source)
    spec = spec_from_file_location(job[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    kernels = [
        compile_kernel(getattr(module, k.name), types(k), {}, target=job[1], num_warps=k.num_warps)
        for k in made.program.kernels
    ]
    text = "\n".join(str(k.text.get("ttir")) for k in kernels)
    return tuple(map(facts, kernels)), text


@pytest.fixture(scope="module")
def every() -> dict[tuple[str, str], tuple[tuple[Facts, ...], str]]:
    jobs = [(plan, arch) for plan in PLANS for arch in ARCHS]
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), get_context("spawn")) as pool:
        return dict(zip(jobs, pool.map(compiled, jobs), strict=True))


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("plan", PLANS)
def test_nothing_is_spilled_and_no_column_is_scanned(every, plan: str, arch: str) -> None:
    kernels, _ = every[plan, arch]
    assert len(kernels) == LAUNCHES[plan]
    assert [k.local_bytes + k.spills + k.column_scans for k in kernels] == [0] * len(kernels)
    assert sum(k.stores for k in kernels) > 0


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("plan", PLANS)
def test_what_is_combined_waits_for_nobody(every, plan: str, arch: str) -> None:
    """Every atomic operation is relaxed, and each is one statement of the plan (or counts a broken promise)."""
    _, text = every[plan, arch]
    found = re.findall(r"tt\.atomic_rmw (\w+), (\w+)", text)
    assert {order for _, order in found} <= {"relaxed"}
    counts = len(re.findall(r"    count(?:_all)?\(flags_ptr", built(plan, arch).source))
    assert len(found) == ATOMICS[plan] + counts
