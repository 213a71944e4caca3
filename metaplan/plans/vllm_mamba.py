"""State indices of linear attention, as vLLM 0.33 stages them for decode: GDN, Kimi's KDA, Mamba.

The formulas restate that engine's v1/attention/backends/gdn_attn.py and utils.py, v1/worker/mamba_utils.py
and models/kimi_k3/nvidia/kda_metadata.py. Its builder copies and fills some ten persistent buffers one by
one, and where prompts and drafts meet, it sorts tokens and selects rows: 24 launches and 9 copies from the
host. A selection in order is a compaction here, and everything is one launch.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]

FLA_CHUNK, CONV_CHUNK = 64, 8


def vllm_aligned_states(
    *,
    groups: int = 1,
    drafts: int = 0,
    block: int = 1024,
    max_model_len: int = 131072,
    num_states: int = 1 << 20,
) -> mp.Plan:
    """The plan that finds the state a request goes on from, and those of its drafts, in every group.

    Args:
        groups: KV-cache groups, each with its own block table.
        drafts: the most draft tokens of a request.
        block: tokens between two states that are kept.
        max_model_len: the longest sequence.
        num_states: state numbers lie below.
    """

    @mp.plan
    def vllm_aligned_states(
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> Outputs:
        req = mp.axis("req")
        state = mp.dense(req, drafts + 1)
        column = mp.maximum((seq_lens - 1) // block, 0) + state.offset
        outputs: Outputs = {}
        for g in range(groups):
            table = mp.array(f"block_table_{g}", i32.KIND, "req", "block", mp.below(num_states))
            outputs[f"state_indices_{g}"] = table[req, column]
        return outputs

    return vllm_aligned_states


def vllm_gdn(
    *,
    groups: int = 1,
    drafts: int = 0,
    block: int = 0,
    max_model_len: int = 131072,
    num_states: int = 1 << 20,
) -> mp.Plan:
    """The plan of a decode step without prompts, as its graph reads it.

    Args:
        groups: KV-cache groups, each with its own block table.
        drafts: the most draft tokens of a request; 0 where nothing is drafted.
        block: tokens between two states that are kept; 0 where a request has only those of its drafts.
        max_model_len: the longest sequence.
        num_states: state numbers lie below; state 0 is nobody's.
    """

    @mp.plan
    def vllm_gdn(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        padded_reqs: Annotated[i32, mp.between(0, 1 << 20)],
    ) -> Outputs:
        req = mp.axis("req")
        count = query_start_loc[req.index + 1] - query_start_loc[req]
        tok = mp.ragged(req, mp.expect(count, 0, drafts + 1))
        state = mp.dense(req, drafts + 1)
        column = state.offset
        if block:
            seq_lens = mp.array("seq_lens", i32.KIND, "req", mp.between(0, max_model_len))
            column = mp.maximum((seq_lens - 1) // block, 0) + state.offset
        kind = "spec" if drafts else "non_spec"
        starts = mp.tail(tok.indptr, mp.LAST, until=padded_reqs)
        outputs: Outputs = {f"{kind}_query_start_loc": starts}
        for g in range(groups):
            columns = "block" if block else drafts + 1
            table = mp.array(f"block_table_{g}", i32.KIND, "req", columns, mp.below(num_states))
            chosen = mp.tail(table[req, column], 0, until=padded_reqs)
            outputs[f"{kind}_state_indices_{g}"] = chosen
        if drafts:
            accepted = mp.array("num_accepted", i32.KIND, "req", mp.between(0, drafts + 1))
            outputs |= dict(
                spec_sequence_masks=mp.tail(mp.on(req, True), False, until=padded_reqs),
                spec_token_indx=mp.on(tok, tok.index),
                num_accepted_tokens=mp.tail(mp.on(req, accepted[req]), 1, until=padded_reqs),
            )
        return outputs

    return vllm_gdn


def vllm_gdn_mixed(
    *,
    drafts: int,
    max_tokens: int = 8192,
    max_model_len: int = 131072,
    num_states: int = 1 << 20,
) -> mp.Plan:
    """The plan of a step in which some requests verify drafts and others bring prompts.

    Args:
        drafts: the most draft tokens of a request.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        max_model_len: the longest sequence.
        num_states: state numbers lie below.
    """

    @mp.plan
    def vllm_gdn_mixed(
        num_drafts: Annotated[i32, "req", mp.HOST, mp.between(-1, drafts)],
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        num_accepted: Annotated[i32, "req", mp.between(0, drafts + 1)],
        block_table: Annotated[i32, "req", drafts + 1, mp.below(num_states)],
    ) -> Outputs:
        req = mp.axis("req")
        start = query_start_loc[req]
        query_len = mp.expect(query_start_loc[req.index + 1] - start, 0, max_tokens)
        verifies = num_drafts >= 0
        spec = mp.compact(req, verifies)
        rest = mp.compact(req, ~verifies)
        state = mp.dense(spec, drafts + 1)
        spec_tok = mp.ragged(spec, mp.minimum(query_len, drafts + 1))
        rest_tok = mp.ragged(rest, query_len)
        conv = mp.ragged(rest, mp.cdiv(query_len, CONV_CHUNK))
        chunk = mp.ragged(rest, mp.cdiv(query_len, FLA_CHUNK))
        return dict(
            spec_sequence_masks=verifies,
            spec_query_start_loc=spec_tok.indptr,
            spec_token_indx=i64(start + spec_tok.offset),
            spec_state_indices=block_table[req, state.offset],
            num_accepted_tokens=mp.on(spec, num_accepted[req]),
            non_spec_query_start_loc=rest_tok.indptr,
            non_spec_token_indx=i64(start + rest_tok.offset),
            non_spec_state_indices=mp.on(rest, block_table[req, 0]),
            has_initial_state=mp.on(rest, seq_lens > query_len),
            batch_ptr=mp.tail(mp.on(conv, conv.row), -1),
            token_chunk_offset_ptr=mp.tail(conv.offset, -1),
            chunk_indices=mp.on(chunk, chunk.row, chunk.offset),
            chunk_offsets=mp.indptr(i64(chunk.length + 0 * rest.offset)),
        )

    return vllm_gdn_mixed


def shipped() -> tuple[Shipped, ...]:
    req, tok = {"req": 1024}, {"tok": 8192}
    states = lambda: vllm_aligned_states(groups=3, drafts=7)  # noqa: E731
    gdn = lambda: vllm_gdn(groups=3, drafts=7, block=1024)  # noqa: E731
    mixed = lambda: vllm_gdn_mixed(drafts=7)  # noqa: E731
    rows = {"spec_tok": 8192, "rest_tok": 8192, "conv": 2048, "chunk": 1152}
    return (
        Shipped("vllm_aligned_states", states, {**req, "block": 135}),
        Shipped("vllm_gdn", gdn, {**req, **tok, "block": 135}),
        Shipped("vllm_gdn_mixed", mixed, {**req, **rows}),
    )
