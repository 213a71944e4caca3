"""The meaning of a plan is what hand-written loops say, for every primitive of the language."""

from __future__ import annotations

import numpy as np
import pytest

from metaplan import interp, ir
from metaplan.passes.pipeline import stages
from tests.running import filled, garbage_buffers, loops, wrong
from tests.samples import SAMPLES, Sample

pytestmark = pytest.mark.null


def each(sample: Sample):
    req = sample.sizes["req"]
    return [(seed, live) for live in sorted({0, 1, req // 2, req}) for seed in range(8)]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_meaning(sample: Sample):
    (_, bound), *_ = stages(sample.plan.ir, sample.sizes)
    broken = 0
    for seed, live in each(sample):
        batch = sample.batch(np.random.default_rng([seed, live]), live)
        want, got = loops(sample, bound, batch, seed), garbage_buffers(bound, seed)
        broken += sum(filled(bound, batch, got).values())
        assert not wrong(want, got), f"seed {seed}, {live} live"
    assert bool(broken) == sample.broken


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
@pytest.mark.parametrize("copied", [False, True], ids=["shared", "written-out"])
def test_every_pass_keeps_the_meaning(sample: Sample, copied: bool):
    if copied and not sample.plan.ir.copies:
        return
    made = list(stages(sample.plan.ir, sample.sizes, sample.plan.ir.copies if copied else ()))
    for seed, live in each(sample)[1::3]:
        batch = sample.batch(np.random.default_rng([seed, live]), live)
        want = garbage_buffers(made[0][1], seed)
        filled(made[0][1], batch, want)
        for name, plan in made[1:]:
            got = garbage_buffers(made[0][1], seed)
            filled(plan, batch, got)
            assert not wrong(want, got, plan), f"{name}, seed {seed}, {live} live"


def test_the_samples_use_every_kind_of_node():
    used = {type(e) for s in SAMPLES for e in ir.walk(*ir.exprs(s.plan.ir))}
    used |= {type(a) for s in SAMPLES for a in s.plan.ir.axes}
    used |= {type(o.tail) for s in SAMPLES for o in s.plan.ir.outputs}
    kinds = (ir.Expr, ir.Axis, ir.Tail)
    missing = {k for kind in kinds for k in kind.__args__} - used
    assert not missing
    ops = {e.op for s in SAMPLES for e in ir.walk(*ir.exprs(s.plan.ir)) if isinstance(e, ir.Bin)}
    assert ops == set(ir.Op)


def test_apply_floors():
    a = np.array([-7, -1, 0, 1, 7])
    assert interp.apply(ir.Op.DIV, a, np.full(5, 2)).tolist() == [-4, -1, 0, 0, 3]
    assert interp.apply(ir.Op.MOD, a, np.full(5, 2)).tolist() == [1, 1, 0, 1, 1]
