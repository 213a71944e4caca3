# pyright: basic
"""Every rival of the benchmark gives what the oracle gives: torch operations, numpy with a copy, fused by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench.rivals import hand_fused, numpy_copy, torch_ops
from bench.rivals.geometry import V4
from metaplan.checking.masks import boolean_masks
from tests.interp.rival_buffers import arrays, device_inputs, tensors
from tests.oracle.batches import PAGE_COL, REQ, TOK, engine_inputs, paged_inputs, post_inputs
from tests.oracles import (
    Config,
    EngineStep,
    Expected,
    Group,
    PagedDecode,
    Pool,
    V4Decode,
    compare,
    inputs_of,
    make_batch,
    make_pool,
    make_topk,
    vec_engine_step,
    vec_paged_decode,
    vec_post_update,
    vec_v4_decode,
)
from tests.oracles.buffers import engine_buffers, paged_buffers, v4_buffers

pytestmark = pytest.mark.interp
MODEL_LEN = 96
ENGINE_PLANS = [
    EngineStep(),
    EngineStep((Group(4), Group(8, reach=20)), drafts=3),
    EngineStep((Group(8), Group(4, reach=9)), drafts=2, cp_size=2, cp_rank=1, cp_interleave=4),
]
EAGER, NUMPY, FUSED = "eager", "numpy", "fused"
SIDES = (EAGER, NUMPY, FUSED)
PLANS_FIELDS = ("compress_plan", "write_plan", "num_compress", "num_write", "cu_compress")


@pytest.fixture(autouse=True)
def _masks():
    with boolean_masks():
        yield


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("req", [0, 1, 4, REQ])
@pytest.mark.parametrize("plan", [PagedDecode(), PagedDecode(page=4, window=6, ring=9)])
def test_paged_decode(plan, req, side):
    numbers = {"page": plan.page, "window": plan.window, "ring": plan.ring}
    for seed in range(3):
        inputs = paged_inputs(plan, np.random.default_rng([seed, req]), req)
        before = paged_buffers(plan, REQ, TOK, PAGE_COL)
        out, given = tensors(before), device_inputs(inputs, REQ, TOK)
        if side == EAGER:
            torch_ops.paged_decode(given, out, **numbers)
        elif side == FUSED:
            hand_fused.paged_decode(given, out, **numbers, most=5, rows=1 + seed)
        else:
            shapes = {name: value.shape for name, value in before.items()}
            numpy_copy.Stager(out).copy(numpy_copy.paged_decode(inputs, shapes, **numbers))
        assert compare(vec_paged_decode(plan, inputs, before), arrays(out)) == []


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("req", [0, 1, REQ])
@pytest.mark.parametrize("plan", ENGINE_PLANS, ids=lambda plan: f"k{plan.drafts}-cp{plan.cp_size}")
def test_engine_step(plan, req, side):
    columns = [-(-MODEL_LEN // (group.page * plan.cp_size)) for group in plan.groups]
    before = engine_buffers(plan, REQ, TOK, dict(enumerate(columns)))
    shared = {
        "groups": plan.groups,
        "cp_size": plan.cp_size,
        "cp_rank": plan.cp_rank,
        "cp_interleave": plan.cp_interleave,
    }
    for seed in range(4):
        inputs = engine_inputs(plan, np.random.default_rng([seed, req]), req, MODEL_LEN)
        out, given = tensors(before), device_inputs(inputs, REQ, TOK)
        if side == EAGER:
            torch_ops.engine_step(given, out, **shared)
        elif side == FUSED:
            hand_fused.engine_step(given, out, **shared, drafts=plan.drafts, most=4)
        else:
            shapes = {name: value.shape for name, value in before.items()}
            numpy_copy.Stager(out).copy(numpy_copy.engine_step(inputs, shapes, before, **shared))
        assert compare(vec_engine_step(plan, inputs, before), arrays(out)) == []


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("k", [0, 1, 4])
@pytest.mark.parametrize("req", [0, 1, REQ])
def test_post_update(req, k, side):
    for seed in range(4):
        inputs, tables = post_inputs(np.random.default_rng([seed, req, k]), req, k, MODEL_LEN)
        out, given = tensors(tables), device_inputs(inputs, REQ, TOK)
        if side == EAGER:
            torch_ops.post_update(given, out)
        elif side == FUSED:
            hand_fused.post_update(given, out, drafts=k)
        else:
            numpy_copy.Stager(out).copy(numpy_copy.post_update(inputs | tables))
        assert compare(vec_post_update(inputs, tables), arrays(out)) == []


def v4_plan(rng, layers, k, ragged, block=256):
    config = Config(
        k=k, W=8, index_topk=64, max_bs=4, max_model_len=1024, block=block, layer_ratios=layers
    )
    batch = make_batch(config, rng, GB=4, ragged=ragged)
    return config, batch, make_pool(config, batch, rng)


def of_decode(expected: Expected) -> Expected:
    """The fields that the rivals fill: all but the compress and write plans."""
    names = [name for name in expected.values if not name.startswith(PLANS_FIELDS)]
    return Expected(
        {name: expected.values[name] for name in names},
        {name: expected.specified[name] for name in names},
    )


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("with_topk", [False, True])
@pytest.mark.parametrize("layers", [(0, 4, 128, 4), (4, 128), (4, 4)])
@pytest.mark.parametrize(("k", "ragged"), [(0, False), (2, True)])
def test_v4_decode(layers, k, ragged, with_topk, side):
    rng = random.Random(k)
    for _ in range(2):
        config, batch, pool = v4_plan(rng, layers, k, ragged)
        inputs = inputs_of(batch)
        if with_topk:
            inputs["topk_local"] = make_topk(config, batch, rng)
        assert isinstance(pool, Pool)
        plan, requests = V4Decode(config, pool), 5
        before = v4_buffers(plan, requests)
        v4, out = V4.of(config, pool), tensors(before)
        given = device_inputs(inputs, requests, requests * config.q)
        if side == EAGER:
            torch_ops.v4_decode(given, out, v4)
        elif side == FUSED:
            hand_fused.v4_decode(given, out, v4)
        else:
            shapes = {name: value.shape for name, value in before.items()}
            numpy_copy.Stager(out).copy(numpy_copy.v4_decode(inputs, shapes, before, v4))
        assert compare(of_decode(vec_v4_decode(plan, inputs, before)), arrays(out)) == []
