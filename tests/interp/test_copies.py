"""Copies written out and copies that share their lines: the same buffers."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import numpy as np
import pytest
import torch
from copied import PLANS, SIZES, batch
from differential import Compiled, compare, load
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schedules import CHANGES

import metaplan as mp
from metaplan import i32, interp, ir, unrolling
from metaplan.checking.masks import boolean_masks
from metaplan.compiler import build
from metaplan.errors import PlanError
from metaplan.export import self_contained
from metaplan.lang.plan import Plan
from metaplan.target import DEFAULT
from tests.random_plans import REQ, plans
from tests.random_plans import SIZES as RANDOM
from tests.random_plans import batch as random_batch
from tests.running import arrays, garbage_buffers, wrong
from tests.samples import SAMPLES, Sample
from tests.samples.copying import cache_groups, draft_steps

pytestmark = pytest.mark.interp
COPIED = [s for s in SAMPLES if s.plan.ir.copies]


def force(monkeypatch: pytest.MonkeyPatch, chosen: bool) -> None:
    """All copies written out, or only those that must be."""

    def asked(plan: ir.Plan, limits: object) -> dict[ir.Which, str]:
        return dict.fromkeys(plan.copies if chosen or plan.updates else (), "asked")

    monkeypatch.setattr(unrolling, "unrolled", asked)


@pytest.mark.parametrize("chosen", [False, True], ids=["shared", "written-out"])
@pytest.mark.parametrize("sample", COPIED, ids=lambda s: s.name)
def test_either_form_does_what_the_plan_means(
    sample: Sample, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, chosen)
    for factor, change in ((1, None), (20, None), *((1, c) for c in ("two-rows", "few-programs"))):
        sizes = {n: k * factor if n == "req" else k for n, k in sample.sizes.items()}
        compiled = Compiled(sample.plan.ir, sizes, CHANGES[change] if change else None)
        for live in (0, 1, sample.sizes["req"]):
            made = sample.batch(np.random.default_rng([live, factor]), live)
            compare(compiled, made, live)


@pytest.mark.parametrize("chosen", [False, True], ids=["shared", "written-out"])
@pytest.mark.parametrize("plan", PLANS, ids=lambda p: p.name)
def test_every_kind_of_value_may_depend_on_a_copy(
    plan: Plan, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, chosen)
    names = {str(dim) for i in plan.ir.inputs for dim in i.dims}
    sizes = {name: size for name, size in SIZES.items() if name in names}
    for capacity in (6, 150):
        compiled = Compiled(plan.ir, {"req": capacity, **sizes})
        for live in (0, 1, 6):
            compare(compiled, batch(plan, np.random.default_rng(live), live), live, exact=False)


@settings(
    max_examples=12,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(plans(depth=2, copied=True), st.booleans(), st.integers(0, 1000))
def test_random_plans_with_copies(plan: Plan, chosen: bool, seed: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        force(monkeypatch, chosen)
        try:
            compiled = Compiled(plan.ir, RANDOM)
        except PlanError:
            assume(False)
        for live in (0, 2, REQ):
            compare(compiled, random_batch(seed, live), seed, exact=False)


def test_sums_of_a_launch_of_their_own_are_written_out() -> None:
    compiled = Compiled(draft_steps.ir, {"req": 40000})
    assert len(compiled.built.program.kernels) == 2
    assert "a launch keeps its values" in dict(compiled.built.program.reasons)["step"]
    sample = next(s for s in SAMPLES if s.plan is draft_steps)
    compare(compiled, sample.batch(np.random.default_rng(3), 7), 3)


@mp.plan
def beside(n: Annotated[i32, "req", mp.below(5)]):
    req = mp.axis("req")
    step = mp.steps(3)
    return dict(ahead=n + step.index, alone=mp.on(req, n * 2))


def test_what_depends_on_no_copy_is_computed_once() -> None:
    built = Compiled(beside.ir, {"req": 4}).built
    assert {b.name: b.shape for b in built.program.buffers} == {"ahead": (3, 4), "alone": (4,)}
    (kernel,) = built.program.kernels
    assert [(r.title.split(":")[0], r.programs) for r in kernel.regions] == [
        ("ahead", 3),
        ("alone", 1),
    ]


@mp.plan
def broken_in_one(n: Annotated[i32, "req", mp.below(5)]):
    req = mp.axis("req")
    step = mp.steps(3)
    return dict(most=mp.expect(step.index * 4, 0, 7), ahead=mp.sum(n, over=req) + step.index)


@pytest.mark.parametrize("chosen", [False, True], ids=["shared", "written-out"])
def test_a_promise_that_one_copy_always_breaks(
    chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, chosen)
    compiled = Compiled(broken_in_one.ir, {"req": 4})
    got = compare(compiled, {"n": [1, 2], "req": 2})
    assert got["most"].tolist() == [[0], [4], [7]]


@mp.plan
def promises(n: Annotated[i32, "req", mp.below(9)], at: Annotated[i32, "req", mp.below(9)]):
    req = mp.axis("req")
    step = mp.steps(3)
    tok = mp.ragged(req, mp.expect(n, 0, 4), name="tok")
    return dict(
        ahead=mp.expect(at, 0, 5) + step.index,
        clamped=mp.expect(at + step.index, 0, 6),
        offsets=tok.offset * step.index,
    )


@pytest.mark.parametrize("chosen", [False, True], ids=["shared", "written-out"])
def test_a_promise_counts_in_every_copy_that_it_depends_on(
    chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, chosen)
    compiled = Compiled(promises.ir, {"req": 4})
    given = {"n": np.array([8, 1, 5, 4], np.int32), "at": np.array([6, 8, 0, 5], np.int32)}
    buffers = [garbage_buffers(compiled.plan) for _ in range(2)]
    told = compiled.meaning(given, {"req": 4}, buffers[0])
    flags = compiled.kernel(given, {"req": 4}, buffers[1])
    counted: Counter[str] = Counter()
    for promise, count in zip(compiled.built.program.flags, flags, strict=True):
        counted[promise] += count
    assert {k: v for k, v in counted.items() if v} == dict(told)
    assert sorted(told.values()) == [2, 2, 6]


def test_a_vendored_file_takes_the_table_of_a_list() -> None:
    (sample,) = (s for s in SAMPLES if s.plan is cache_groups)
    made = build(sample.plan.ir, sample.sizes, DEFAULT)
    module = load(self_contained(made), "vendored_groups")
    given = arrays(made.bound, sample.batch(np.random.default_rng(1), 4))
    want = garbage_buffers(made.bound)
    interp.run(made.bound, given, {"req": 4}, want)
    tensors = {n: torch.from_numpy(a) for n, a in given.items() if n != "tables"}
    tables = [torch.from_numpy(a) for a in given["tables"]]
    buffers = module.allocate(device="cpu")
    for name, buffer in garbage_buffers(made.bound).items():
        buffers[name].copy_(torch.from_numpy(buffer).view(buffers[name].shape))
    live = torch.tensor([4], dtype=torch.int32)
    with boolean_masks():
        module.launch(**tensors, **buffers, tables=module.table(tables), req=live)
    got = {n: buffers[n].numpy() for n in want}
    assert not wrong(want, got)
