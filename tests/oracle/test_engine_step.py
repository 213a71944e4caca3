"""engine_step and post_update: both forms of the oracles agree on batches that engines fear."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle.batches import REQ, TOK, engine_inputs, post_inputs
from tests.oracles import (
    EngineStep,
    Group,
    compare,
    loop_engine_step,
    loop_post_update,
    vec_engine_step,
    vec_post_update,
)
from tests.oracles.buffers import engine_buffers

MODEL_LEN = 96
PLANS = [
    EngineStep(),
    EngineStep((Group(4), Group(8, reach=20)), drafts=3),
    EngineStep((Group(16, reach=1),), drafts=1),
    EngineStep((Group(8), Group(4, reach=9)), drafts=2, cp_size=2, cp_rank=1, cp_interleave=4),
    EngineStep((Group(4),), cp_size=4, cp_rank=2),
]


def buffers(plan):
    columns = [-(-MODEL_LEN // (group.page * plan.cp_size)) for group in plan.groups]
    return engine_buffers(plan, REQ, TOK, dict(enumerate(columns)))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"k{plan.drafts}-cp{plan.cp_size}")
@pytest.mark.parametrize("req", range(REQ + 1))
def test_both_forms_agree(plan, req):
    before = buffers(plan)
    for seed in range(15):
        inputs = engine_inputs(plan, np.random.default_rng([seed, req]), req, MODEL_LEN)
        vec = vec_engine_step(plan, inputs, before)
        loop = loop_engine_step(plan, inputs, before)
        assert compare(vec, loop.values) == []
        assert compare(loop, vec.values) == []


def test_a_chunk_a_decode_and_a_dummy_by_hand():
    plan = EngineStep((Group(4),), drafts=1)
    inputs = engine_inputs(plan, np.random.default_rng(0), 3, MODEL_LEN)
    inputs |= {
        "idx_mapping": np.array([2, 0, -1]),
        "num_scheduled": np.array([3, 2, 1], np.int32),
        "num_draft": np.array([0, 1, 0], np.int32),
        "padded_tokens": 8,
        "padded_reqs": 4,
    }
    inputs["num_computed_tokens"][[2, 0]] = [4, 11]
    inputs["prefill_len"][[2, 0]] = [10, 11]
    inputs["num_blocks_0"][[2, 0]] = [2, 4]
    got = vec_engine_step(plan, inputs, buffers(plan)).values
    prompt = inputs["all_token_ids"][2, 4:7].tolist()
    sampled = int(inputs["last_sampled_tokens"][0])
    draft = int(inputs["draft_tokens"][0, 0])
    assert got["query_start_loc"].tolist() == [0, 3, 5, 6, 6, 6, 6]
    assert got["cu_num_logits"].tolist() == [0, 1, 3, 4, 4, 4, 4]
    assert got["seq_lens"].tolist() == [7, 13, 1, 0, 0, 0]
    assert got["positions"][:7].tolist() == [4, 5, 6, 11, 12, 0, -99]
    assert got["input_ids"][:7].tolist() == [*prompt, sampled, draft, -99, -99]
    assert got["logits_indices"].tolist() == [2, 3, 4, 5]
    assert got["expanded_idx_mapping"].tolist() == [2, 0, 0, -1]
    assert got["expanded_local_pos"].tolist() == [0, 0, 1, 0]
    assert got["is_padding"][:9].tolist() == [False] * 6 + [True] * 3
    assert got["slot_mapping_0"][5:].tolist() == [-1] * (TOK - 5)
    assert (got["input_block_table_0"][2] == -99).all()
    assert (got["input_block_table_0"][3] == 0).all()
    assert (got["input_block_table_0"][4] == -99).all()


@pytest.mark.parametrize("k", [0, 1, 4])
@pytest.mark.parametrize("req", range(REQ + 1))
def test_both_forms_of_post_update_agree(k, req):
    for seed in range(15):
        inputs, tables = post_inputs(np.random.default_rng([seed, req, k]), req, k, MODEL_LEN)
        vec = vec_post_update(inputs, tables)
        loop = loop_post_update(inputs, tables)
        assert compare(vec, loop.values) == []
