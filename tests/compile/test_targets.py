"""Shipped plans compile without a device, some for every target and all for one: nothing spilled."""

from __future__ import annotations

import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from tempfile import mkdtemp

import pytest

from metaplan.compiler import Built, build
from metaplan.plans import shipped
from metaplan.program import If, Kernel, Loop, Role, Stmt, Store
from metaplan.target import TARGETS, target

pytestmark = pytest.mark.compile

PLANS = ("decode_slots", "engine_step", "paged_decode", "post_update", "v4_decode")
POINTER = {"int32": "*i32", "int64": "*i64", "uint8": "*u8", "uint16": "*u16", "bool": "*i1"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a compiled kernel says of itself; counts are of the instructions in its text."""

    local_bytes: int
    spills: int
    stores: int
    loads: int
    barriers: int
    shared_bytes: int
    warps: int
    column_scans: int = 0


def types(kernel: Kernel) -> dict[str, str]:
    """Triton's type of each argument: what the launch passes, specialised on nothing."""
    return {p.name: "i32" if p.role is Role.STRIDE else POINTER[p.dtype] for p in kernel.params}


@cache
def built(plan: str, arch: str) -> Built:
    known = shipped()[plan]
    return build(known.plan.ir, known.sizes, target(arch))


def compiled(job: tuple[str, str]) -> tuple[Facts, ...]:
    """The kernels of ``(plan, target)``; runs in a process of its own."""
    from importlib.util import module_from_spec, spec_from_file_location

    from metaplan.runtime.compiled import compile_kernel

    plan, arch = job
    made = built(plan, arch)
    path = Path(mkdtemp(prefix="metaplan_")) / f"{plan}.py"
    path.write_text(made.source)
    spec = spec_from_file_location(plan, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(
        facts(compile_kernel(
            getattr(module, k.name), types(k), {}, target=arch, num_warps=k.num_warps
        ))
        for k in made.program.kernels
    )  # fmt: skip


def _column_scans(ttgir: str) -> int:
    """Running sums that are not along the last dimension of a full tile: triton 3.6 gives wrong ones for a column."""
    pattern = r'"tt\.scan"\(.*?\) <\{axis = (\d+).*?\}\) : \(tensor<([^,]*),'
    wrong = 0
    for axis, shape in re.findall(pattern, ttgir, re.DOTALL):
        *dims, _ = shape.split("x")
        wrong += len(dims) > 1 and (int(axis) != len(dims) - 1 or dims[-1] == "1")
    assert len(re.findall(pattern, ttgir, re.DOTALL)) == ttgir.count('"tt.scan"(')
    return wrong


def facts(kernel) -> Facts:
    shared = kernel.binary.metadata.shared
    if (ptx := kernel.text.get("ptx")) is not None:
        return Facts(
            local_bytes=sum(int(n) for n in re.findall(r"\.local[^;]*\[(\d+)\]", ptx)),
            spills=len(re.findall(r"\b(?:ld|st)\.local", ptx)),
            stores=len(re.findall(r"\bst\.global", ptx)),
            loads=len(re.findall(r"\bld\.global", ptx)),
            barriers=len(re.findall(r"\bbar(?:rier)?\.(?:cta\.)?sync", ptx)),
            shared_bytes=shared,
            warps=kernel.num_warps,
            column_scans=_column_scans(kernel.text["ttgir"]),
        )
    text = kernel.text["amdgcn"]
    # Scalar registers spill into lanes of vector registers, which costs no memory.
    spilled = re.findall(r"\.(?:private_segment_fixed_size|vgpr_spill_count):\s+(\d+)", text)
    return Facts(
        local_bytes=max((int(n) for n in spilled), default=0),
        spills=len(re.findall(r"\bscratch_(?:load|store)", text)),
        stores=len(re.findall(r"\b(?:global|buffer|flat)_store", text)),
        loads=len(re.findall(r"\b(?:global|buffer|flat)_load", text)),
        barriers=len(re.findall(r"\bs_barrier\b", text)),
        shared_bytes=shared,
        warps=kernel.num_warps,
    )


def side_by_side(jobs: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[Facts, ...]]:
    context = get_context("spawn")
    with ProcessPoolExecutor(min(len(jobs), os.cpu_count() or 1), context) as pool:
        return dict(zip(jobs, pool.map(compiled, jobs), strict=True))


@pytest.fixture(scope="module")
def every() -> dict[tuple[str, str], tuple[Facts, ...]]:
    return side_by_side([(plan, arch) for plan in PLANS for arch in TARGETS])


def test_every_other_shipped_plan_compiles_without_spills():
    """Each for one target, in turn."""
    others = [name for name in shipped() if name not in PLANS]
    made = side_by_side(list(zip(others, cycle(TARGETS), strict=False)))
    assert len(made) + len(PLANS) == len(shipped())
    spilled = [
        job for job, kernels in made.items() if any(k.local_bytes or k.spills for k in kernels)
    ]
    assert not spilled
    assert all(kernel.stores for kernels in made.values() for kernel in kernels)


@pytest.mark.parametrize("arch", TARGETS)
@pytest.mark.parametrize("plan", PLANS)
def test_one_launch_without_spills(every, plan: str, arch: str):
    kernels = every[plan, arch]
    assert len(kernels) == 1
    assert kernels[0].local_bytes == kernels[0].spills == 0, kernels
    assert kernels[0].stores > 0


def stores(body: tuple[Stmt, ...]) -> list[Store]:
    out: list[Store] = []
    for stmt in body:
        match stmt:
            case Store():
                out.append(stmt)
            case Loop(body=inner) | If(body=inner):
                out.extend(stores(inner))
            case _:
                pass
    return out


@pytest.mark.parametrize("arch", TARGETS)
@pytest.mark.parametrize("plan", PLANS)
def test_running_sums_are_over_vectors(every, plan: str, arch: str):
    assert [k.column_scans for k in every[plan, arch]] == [0]


@pytest.mark.parametrize("plan", PLANS)
def test_each_cell_is_stored_by_one_statement_and_its_tail_by_another(plan: str):
    """As many stores in the program as there are columns, tails and updates in the plan."""
    made = built(plan, "cuda:90")
    written = [s for k in made.program.kernels for r in k.regions for s in stores(r.body)]
    plain = made.placed
    columns = sum(max(len(o.columns), len(o.parts)) for o in plain.outputs)
    tails = sum(text != "keep" and text != "undefined" for text in _tails(made))
    assert len(written) == columns + tails + len(plain.updates)


def _tails(made: Built) -> list[str]:
    outputs = {o.name for o in made.placed.outputs}
    return [b.tail for b in made.program.buffers if b.name in outputs]
