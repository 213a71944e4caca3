# pyright: basic
"""The oracles of engine_step and post_update against vLLM's own kernels, tails included."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from tests.interp.rival_buffers import tensors
from tests.oracle.batches import REQ, TOK, engine_inputs, post_inputs
from tests.oracles import EngineStep, Group, compare, vec_engine_step, vec_post_update
from tests.oracles.buffers import engine_buffers
from tests.peers import vllm_kernels, vllm_step

pytestmark = pytest.mark.peers
MODEL_LEN = 96
PLANS = [
    EngineStep(),
    EngineStep((Group(4), Group(8, reach=20)), drafts=3),
    EngineStep((Group(16, reach=1), Group(4), Group(8, reach=9)), drafts=1),
    EngineStep((Group(8), Group(4, reach=9)), drafts=2, cp_size=2, cp_rank=1, cp_interleave=4),
    EngineStep((Group(4),), cp_size=4, cp_rank=2),
]


@pytest.fixture(scope="module")
def vllm():
    return vllm_kernels.load()


@pytest.fixture
def device():
    return "cpu" if vllm_step.interpreting() else "cuda"


def on(device, values):
    return {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in values.items()
    }


def inputs_on(device, inputs):
    """Host inputs stay arrays, tables become tensors, scalars stay integers."""
    host = ("idx_mapping", "num_scheduled", "num_draft")
    return {
        name: value
        if name in host or isinstance(value, int)
        else torch.from_numpy(value).to(device)
        for name, value in inputs.items()
    }


def engine_batch(plan, seed, req):
    """A batch that the engine admits: every row has at least the query tokens that its logits are taken from."""
    inputs = engine_inputs(plan, np.random.default_rng([seed, req]), req, MODEL_LEN)
    query = np.maximum(inputs["num_scheduled"], inputs["num_draft"] + 1)
    live = int(query.sum())
    padded_tokens = max(inputs["padded_tokens"], live)
    return inputs | {"num_scheduled": query, "padded_tokens": padded_tokens}


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"k{plan.drafts}-cp{plan.cp_size}")
@pytest.mark.parametrize("req", [1, 2, REQ])
def test_the_oracle_is_the_engine(vllm, device, plan, req):
    columns = [-(-MODEL_LEN // (group.page * plan.cp_size)) for group in plan.groups]
    before = engine_buffers(plan, REQ, TOK, dict(enumerate(columns)))
    for seed in range(20):
        inputs = engine_batch(plan, seed, req)
        got = vllm_step.engine_step(
            vllm,
            inputs_on(device, inputs),
            on(device, tensors(before)),
            plan.groups,
            plan.drafts,
            plan.cp_size,
            plan.cp_rank,
            plan.cp_interleave,
        )
        actual = {name: value.cpu().numpy() for name, value in got.items()}
        assert compare(vec_engine_step(plan, inputs, before), actual) == []


@pytest.mark.parametrize("k", [0, 1, 4])
@pytest.mark.parametrize("req", [1, REQ])
def test_the_oracle_of_post_update_is_the_engine(vllm, device, k, req):
    for seed in range(6):
        inputs, tables = post_inputs(np.random.default_rng([seed, req, k]), req, k, MODEL_LEN)
        given = inputs | tables
        got = vllm_step.post_update(
            vllm,
            {
                name: value if isinstance(value, int) else torch.from_numpy(value).to(device)
                for name, value in given.items()
            },
        )
        actual = {name: value.cpu().numpy() for name, value in got.items()}
        assert compare(vec_post_update(inputs, tables), actual) == []


def test_nothing_of_the_engine_stays_behind(vllm):
    assert not [name for name in sys.modules if name.partition(".")[0] == "vllm"]


def test_a_folder_without_the_sources_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps vllm==0\.33\.0"):
        vllm_kernels.load(tmp_path)
