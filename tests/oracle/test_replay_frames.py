"""Frames of a replay: inputs stay in their ranges and both forms of the oracles agree on them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metaplan.replay import CODE, PageGroup, Reference, Settings, frames, generate
from metaplan.replay.oracles import buffers, oracles
from metaplan.replay.reference import PLANS

SETTINGS = Settings(
    max_requests=8,
    max_tokens=128,
    max_model_len=2048,
    pool_tokens=4096,
    drafts=2,
    ragged=0.5,
    step_seconds=0.2,
    groups=(PageGroup(16), PageGroup(32, reach=100)),
    index_topk=64,
    dummy_every=3,
)


def small_trace(seed):
    trace = generate(CODE, 25, seed)
    return dataclasses.replace(
        trace,
        context=np.minimum(trace.context, 900),
        generated=np.minimum(trace.generated, 60),
    )


@pytest.mark.parametrize("drafts", [0, 2])
def test_both_forms_agree_on_what_every_plan_must_produce(drafts):
    settings = dataclasses.replace(SETTINGS, drafts=drafts)
    vec, loop = Reference(settings), Reference(settings, form="loop")
    checked = 0
    for frame in frames(small_trace(0), settings):
        for plan in PLANS:
            inputs = getattr(frame, plan)
            if inputs is None:
                continue
            before = {}
            if frame.step.index % 5 == 0:
                before = {name: array.copy() for name, array in vec.before[plan].items()}
            expected = vec.expect(plan, inputs)
            if before:
                again = loop.expect(plan, inputs, before)
                assert vec.compare(again, expected.values) == []
                assert vec.compare(expected, again.values) == []
                checked += 1
    assert checked > 30


def test_tables_move_as_the_gpu_does():
    """all_token_ids holds the prompt and every sampled token, num_computed the truth."""
    settings, trace = SETTINGS, small_trace(1)
    reference = Reference(settings)
    loop = Reference(settings, form="loop")
    said = [list[int]() for _ in range(len(trace))]
    for frame in frames(trace, settings):
        step, tables = frame.step, frame.engine_step
        assert np.array_equal(tables["num_computed_tokens"][step.state], step.computed)
        for admission in step.admitted:
            said[admission.request] = admission.prompt.tolist()
        for row, request in enumerate(step.request.tolist()):
            state, tokens = int(step.state[row]), said[request]
            assert tables["all_token_ids"][state, : len(tokens)].tolist() == tokens
            tokens += step.sampled_tokens[row, : step.num_sampled[row]].tolist()
        if step.index % 10 == 0:
            everything = tables | {"total_len": np.zeros(settings.max_requests, np.int32)}
            first = reference.expect_post_update(frame.post_update, everything)
            again = loop.expect_post_update(frame.post_update, everything)
            assert reference.compare(first, again.values) == []


def test_inputs_stay_in_their_ranges():
    settings = SETTINGS
    dummies = 0
    for frame in frames(small_trace(2), settings):
        engine, paged, v4 = frame.engine_step, frame.paged_decode, frame.v4_decode
        tokens = int(engine["num_scheduled"].sum())
        assert engine["req"] <= engine["padded_reqs"] <= settings.max_requests
        assert tokens <= engine["padded_tokens"] <= settings.max_tokens
        assert (engine["num_scheduled"] > engine["num_draft"]).all()
        assert engine["idx_mapping"].dtype == np.int64
        dummies += int((engine["idx_mapping"] < 0).sum())
        assert (paged is None) == (v4 is None) == (frame.step.num_decodes == 0)
        if paged is None or v4 is None:
            continue
        most = settings.max_requests * settings.query_len
        assert paged["query_len"].sum() <= paged["graph_tokens"] <= most
        assert paged["block_table"].max() < 1 << 20
        context = v4["ctx_sched"] - v4["num_rejected"]
        assert (context >= settings.query_len).all()
        assert (v4["ctx_sched"] <= settings.max_model_len).all()
        assert v4["req"] <= v4["graph_requests"] <= settings.max_requests
        assert len(np.unique(v4["group"])) == v4["req"]
        assert v4["topk_local"].shape == (v4["query_len"].sum(), settings.index_topk)
        for inputs in (paged, v4):
            for name in ("num_rejected", "query_len"):
                assert inputs[name].dtype == np.int32
    assert dummies > 0


def test_the_oracles_are_loaded_once():
    assert oracles() is oracles()
    assert buffers().SENTINEL == -99
