"""v4_decode: both forms of the oracle agree on uniform, ragged, padded and degenerate batches."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.oracles import (
    Config,
    Pool,
    V4Decode,
    batch_of,
    compare,
    inputs_of,
    loop_v4,
    loop_v4_decode,
    make_batch,
    make_pool,
    make_topk,
    vec_v4,
    vec_v4_decode,
)
from tests.oracles.buffers import v4_buffers


def same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        other = second[name]
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype, name
            assert np.array_equal(value, other), name
        else:
            assert value == other, name


@pytest.mark.parametrize("ragged", [False, True], ids=["uniform", "ragged"])
@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("topk", [False, True], ids=["no-topk", "topk"])
def test_both_forms_agree(ragged, k, topk):
    rng = random.Random(f"{ragged} {k} {topk}")
    for _ in range(3):
        config = Config(k=k, max_bs=rng.choice([1, 4]), index_topk=64, max_model_len=2048)
        batch = make_batch(config, rng, ragged=ragged)
        pool = make_pool(config, batch, rng)
        chosen = make_topk(config, batch, rng) if topk else None
        same(vec_v4(config, pool, batch, chosen), loop_v4(config, pool, batch, chosen))


@pytest.mark.parametrize("ratios", [(0,), (4, 0), (128, 128), (0, 4), (4, 128, 4), (128, 0)])
def test_both_forms_agree_without_some_layer_classes(ratios):
    rng = random.Random(str(ratios))
    config = Config(k=1, max_bs=3, layer_ratios=ratios, max_model_len=1024)
    batch = make_batch(config, rng, GB=8)
    pool = Pool(ratios, int(batch.num_blocks.sum()) + 5, 6, config.R)
    same(vec_v4(config, pool, batch), loop_v4(config, pool, batch))


@pytest.mark.parametrize("fp8_rect", [False, True])
@pytest.mark.parametrize("hca_causal", [False, True])
@pytest.mark.parametrize("graph", [4, 32])
def test_both_forms_agree_with_the_options(fp8_rect, hca_causal, graph):
    rng = random.Random(f"{fp8_rect} {hca_causal} {graph}")
    config = Config(k=3, max_bs=4, max_model_len=1024, index_topk=64)
    batch = make_batch(config, rng, bs=4, GB=graph, ragged=True)
    pool = make_pool(config, batch, rng)
    first = vec_v4(config, pool, batch, None, fp8_rect, hca_causal)
    same(first, loop_v4(config, pool, batch, None, fp8_rect, hca_causal))


def test_named_inputs_describe_the_same_batch():
    rng = random.Random(3)
    config = Config(k=1, max_bs=4, max_model_len=1024, index_topk=64)
    batch = make_batch(config, rng, bs=3, GB=4)
    plan = V4Decode(config, make_pool(config, batch, rng))
    inputs = inputs_of(batch)
    assert batch_of(config, inputs).ctx.tolist() == batch.ctx.tolist()
    before = v4_buffers(plan, 8)
    vec, loop = vec_v4_decode(plan, inputs, before), loop_v4_decode(plan, inputs, before)
    assert compare(vec, loop.values) == []
    assert vec.values.keys() == before.keys()
    for name, value in vec.values.items():
        assert value.dtype == before[name].dtype, name
        assert all(v <= b for v, b in zip(value.shape, before[name].shape, strict=True)), name
    assert (vec.values["swa_dest_swa"][batch.T :] == -99).all()
