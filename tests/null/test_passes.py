"""Passes change how a plan is written, never what it means; ranges hold; text is stable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from metaplan import interp, ir, text
from metaplan.errors import PlanError
from metaplan.lang.plan import Plan
from metaplan.passes.pipeline import PIPELINE, stages
from metaplan.passes.rewrite import Rewriter
from metaplan.passes.simplify import simplify
from metaplan.ranges import Ranges
from tests.random_plans import REQ, SIZES, batch, plans
from tests.running import arrays, filled, garbage_buffers, wrong
from tests.samples import SAMPLES, Sample

pytestmark = pytest.mark.null

QUICK = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
LIVE = st.integers(0, REQ)
SEED = st.integers(0, 1000)


def made(plan: Plan) -> list[tuple[str, ir.Plan]]:
    """The plan after each pass; a plan that the ranges refuse is not looked at."""
    try:
        return list(stages(plan.ir, SIZES))
    except PlanError:
        assume(False)
        raise


def said(plan: ir.Plan, want: dict, values: dict, seed: int) -> dict[str, np.ndarray]:
    """Buffers in which the cells of undefined tails are all alike."""
    other = {n: ~b for n, b in garbage_buffers(plan, seed).items()}
    filled(plan, values, other)
    loose = {o.name for o in plan.outputs if isinstance(o.tail, ir.Undefined)}
    return {n: np.where((b != other[n]) & (n in loose), 0, b).astype(b.dtype)
            for n, b in want.items()}  # fmt: skip


@QUICK
@given(plans(), SEED, LIVE)
def test_every_pass_keeps_the_meaning(plan: Plan, seed: int, live: int) -> None:
    values = batch(seed, live)
    (_, bound), *rest = made(plan)
    want = garbage_buffers(bound, seed)
    filled(bound, values, want)
    want = said(bound, want, values, seed)
    for name, after in rest:
        got = garbage_buffers(after, seed)
        filled(after, values, got)
        assert not wrong(want, said(after, got, values, seed)), name


@QUICK
@given(plans())
def test_simplify_is_idempotent(plan: Plan) -> None:
    last = made(plan)[-1][1]
    again = simplify(last)
    assert text.plan(again) == text.plan(last)
    assert again == last


@QUICK
@given(plans(), SEED, LIVE)
def test_ranges_hold_every_value(plan: Plan, seed: int, live: int) -> None:
    values = batch(seed, live)
    for _, after in made(plan):
        run = interp._Run(after, arrays(after, values), {"req": live})
        ranges = Ranges()
        for e in ir.walk(*ir.exprs(after)):
            if any(isinstance(x, ir.Cell) for x in ir.walk(e)):
                continue
            found = run.eval(e, run.points(ir.axis_of(e)))
            span = ranges.of(e)
            if found.size:
                assert span.lo <= int(found.min()), text.expr(e)
                assert int(found.max()) <= span.hi, text.expr(e)


@QUICK
@given(plans())
def test_an_empty_rewrite_is_the_plan_itself(plan: Plan) -> None:
    assert Rewriter().plan(plan.ir) == plan.ir


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_simplify_leaves_a_simplified_sample_alone(sample: Sample) -> None:
    last = list(stages(sample.plan.ir, sample.sizes))[-1][1]
    assert simplify(last) == last


def test_the_pipeline_leaves_only_what_lowering_knows() -> None:
    for sample in SAMPLES:
        last = list(stages(sample.plan.ir, sample.sizes))[-1][1]
        left = {type(e) for e in ir.walk(*ir.exprs(last))}
        assert not left & {ir.Index, ir.Expect}
    assert [p.__name__ for p in PIPELINE] == ["lazy", "check", "place", "simplify"]


def test_what_a_condition_has_read_is_not_read_again() -> None:
    """But where it was read for other points, or where something else holds, it is."""

    def loads(name: str) -> int:
        sample = next(s for s in SAMPLES if s.name == "gathers")
        last = list(stages(sample.plan.ir, sample.sizes))[-1][1]
        columns = next(o.columns for o in last.outputs if o.name == name)
        return sum(isinstance(e, ir.Load) and e.source.name == "table" for e in ir.walk(*columns))

    assert loads("again") == 1
    assert loads("chosen") == 2


PRINT = """
from metaplan.compiler import build
from metaplan.plans import shipped
from metaplan.target import DEFAULT
from tests.samples import SAMPLES

known = shipped()
for name in ("engine_step", "v4_decode", "vllm_flashinfer", "sglang_fa3_tree"):
    one = known[name]
    built = build(one.plan.ir, one.sizes, DEFAULT)
    print(built.plan_text, built.program_text, built.explain())
for one in SAMPLES:
    built = build(one.plan.ir, one.sizes, DEFAULT)
    print(built.plan_text, built.source)
"""


def test_text_does_not_depend_on_hashing() -> None:
    root = Path(__file__).parents[2]
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PRINT],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (run.communicate()[0] for run in runs)
    assert all(run.returncode == 0 for run in runs)
    assert "plan v4_decode" in first
    assert first == second
