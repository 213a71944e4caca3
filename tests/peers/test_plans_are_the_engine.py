# pyright: basic
"""The kernels of engine_step and post_update beside vLLM's own, on the same inputs, tails included."""

from __future__ import annotations

import numpy as np
import pytest

from metaplan.plans import engine_step as plans
from tests.interp.differential import Compiled, split
from tests.interp.rival_buffers import tensors
from tests.oracle.batches import REQ, TOK, post_inputs
from tests.oracles.buffers import engine_buffers
from tests.peers import vllm_kernels, vllm_step
from tests.peers.test_vllm_step import (
    MODEL_LEN,
    PLANS,
    engine_batch,
    inputs_on,
    on,
)

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def vllm():
    return vllm_kernels.load()


def compiled_step(plan) -> Compiled:
    interleave = None
    if plan.cp_size > 1:
        interleave = plans.Interleave(plan.cp_size, plan.cp_rank, plan.cp_interleave)
    groups = tuple(plans.Group(group.page, group.reach) for group in plan.groups)
    declared = plans.engine_step(
        groups=groups,
        drafts=plan.drafts,
        max_model_len=MODEL_LEN,
        max_tokens=8,
        interleave=interleave,
        states=2 * REQ,
    )
    pages = {f"page_{g}": n for g, n in enumerate(columns(plan))}
    return Compiled(
        declared.ir, dict(req=REQ, tok=TOK, state=2 * REQ, model_len=MODEL_LEN, **pages)
    )


def columns(plan) -> list[int]:
    return [-(-MODEL_LEN // (group.page * plan.cp_size)) for group in plan.groups]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"k{plan.drafts}-cp{plan.cp_size}")
def test_engine_step_is_the_engines(vllm, plan):
    """Every buffer, but the tail of cu_num_logits beyond one fence: the engine's ends there."""
    ours = compiled_step(plan)
    before = engine_buffers(plan, REQ, TOK, dict(enumerate(columns(plan))))
    for seed, req in ((1, 1), (2, 2), (3, REQ), (4, REQ - 1)):
        inputs = engine_batch(plan, seed, req)
        theirs = vllm_step.engine_step(
            vllm,
            inputs_on("cpu", inputs),
            on("cpu", tensors(before)),
            plan.groups,
            plan.drafts,
            plan.cp_size,
            plan.cp_rank,
            plan.cp_interleave,
        )
        given, live = split(ours, inputs)
        mine = {name: array.copy() for name, array in before.items()}
        ours.kernel(given, live, mine)
        logits = int((inputs["num_draft"] + 1).sum())
        for name, value in theirs.items():
            want = value.numpy()
            if name in ("logits_indices", "expanded_idx_mapping", "expanded_local_pos"):
                want = want[:logits]
            got = mine[name][: len(want)]
            assert np.array_equal(got, want), (seed, name, got, want)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_post_update_is_the_engines(vllm, k):
    import torch

    declared = plans.post_update(drafts=k, max_model_len=MODEL_LEN, max_tokens=8, states=2 * REQ)
    sizes = {"req": REQ, "state": 2 * REQ, "model_len": MODEL_LEN}
    ours = Compiled(declared.ir, sizes)
    for seed, req in ((1, 1), (2, REQ), (3, REQ - 2)):
        inputs, tables = post_inputs(np.random.default_rng([seed, req, k]), req, k, MODEL_LEN)
        theirs = vllm_step.post_update(
            vllm,
            {
                name: value if isinstance(value, int) else torch.from_numpy(value.copy())
                for name, value in (inputs | tables).items()
            },
        )
        given, live = split(ours, inputs | tables)
        given = {name: array.copy() for name, array in given.items()}
        ours.kernel(given, live, {})
        for name in ours.states:
            assert np.array_equal(given[name], theirs[name].numpy()), (seed, name)
