"""The engine_step oracle one element at a time, in plain integers, from the definition."""

from __future__ import annotations

from typing import Any

import numpy as np

from .engine_step import EngineStep
from .expected import Before, Expected, Inputs


def loop_engine_step(plan: EngineStep, inputs: Inputs, before: Before) -> Expected:
    """Element form, as ``vec_engine_step``."""
    out: dict[str, Any] = {name: buffer.copy() for name, buffer in before.items()}
    out["seq_lens"][:] = 0
    if plan.cp_size > 1:
        out["dcp_local_seq_lens"][:] = 0
    starts, logit_starts = [0], [0]
    logits: list[tuple[int, int, int]] = []
    t = 0
    for r in range(int(inputs["req"])):
        query, drafts = int(inputs["num_scheduled"][r]), int(inputs["num_draft"][r])
        state = int(inputs["idx_mapping"][r])
        computed = int(inputs["num_computed_tokens"][state]) if state >= 0 else 0
        out["seq_lens"][r] = computed + query
        if plan.cp_size > 1:
            out["dcp_local_seq_lens"][r] = _held(plan, computed + query)
        for j in range(query):
            out["positions"][t + j] = computed + j
            out["is_padding"][t + j] = False
        if state >= 0:
            _write_ids(inputs, out, state, t, computed, query, drafts)
            for g in range(len(plan.groups)):
                _write_blocks(plan, g, inputs, out, r, state, computed)
        for g in range(len(plan.groups)):
            for j in range(query):
                out[f"slot_mapping_{g}"][t + j] = _slot(plan, g, inputs, state, computed + j)
        t += query
        logits += [(t - 1 - drafts + i, state, i) for i in range(drafts + 1)]
        starts.append(t)
        logit_starts.append(len(logits))
    _write_tails(plan, inputs, out, t)
    for name, fence in (("query_start_loc", starts), ("cu_num_logits", logit_starts)):
        missing = len(before[name]) - len(fence)
        out[name] = np.array(fence + [fence[-1]] * missing, np.int32)
    out["logits_indices"] = np.array([row for row, _, _ in logits], np.int64)
    out["expanded_idx_mapping"] = np.array([state for _, state, _ in logits], np.int64)
    out["expanded_local_pos"] = np.array([i for _, _, i in logits], np.int32)
    return Expected.of(out, {})


def _write_ids(
    inputs: Inputs,
    out: dict[str, Any],
    state: int,
    start: int,
    computed: int,
    query: int,
    drafts: int,
) -> None:
    prefill = int(inputs["prefill_len"][state])
    if computed < prefill:
        for j in range(query):
            out["input_ids"][start + j] = int(inputs["all_token_ids"][state, computed + j])
    if computed + query <= prefill:
        return
    first = query - drafts - 1  # offset of the token that the first logit belongs to
    if first >= 0 and computed + first >= prefill:
        out["input_ids"][start + first] = int(inputs["last_sampled_tokens"][state])
    for i in range(drafts):
        out["input_ids"][start + first + 1 + i] = int(inputs["draft_tokens"][state, i])


def _write_blocks(
    plan: EngineStep,
    g: int,
    inputs: Inputs,
    out: dict[str, Any],
    r: int,
    state: int,
    computed: int,
) -> None:
    group = plan.groups[g]
    masked = group.reach > 0 and plan.cp_size == 1
    for c in range(int(inputs[f"num_blocks_{g}"][state])):
        last_token = (c + 1) * group.page - 1
        below = masked and last_token < computed - group.reach
        block = 0 if below else int(inputs[f"block_table_{g}"][state, c])
        out[f"input_block_table_{g}"][r, c] = block


def _owner(plan: EngineStep, position: int) -> int:
    """The rank that holds a position: shares of ``cp_interleave`` tokens go round."""
    return position // plan.cp_interleave % plan.cp_size


def _held(plan: EngineStep, tokens: int) -> int:
    """How many of the first ``tokens`` positions this rank holds."""
    if plan.cp_size == 1:
        return tokens
    return sum(1 for p in range(tokens) if _owner(plan, p) == plan.cp_rank)


def _slot(plan: EngineStep, g: int, inputs: Inputs, state: int, position: int) -> int:
    if state < 0 or _owner(plan, position) != plan.cp_rank:
        return -1
    page = plan.groups[g].page
    local = _held(plan, position)
    return int(inputs[f"block_table_{g}"][state, local // page]) * page + local % page


def _write_tails(plan: EngineStep, inputs: Inputs, out: dict[str, Any], tokens: int) -> None:
    for t in range(tokens, int(inputs["padded_tokens"])):
        out["is_padding"][t] = True
    for g in range(len(plan.groups)):
        for r in range(int(inputs["req"]), int(inputs["padded_reqs"])):
            out[f"input_block_table_{g}"][r, :] = 0
        out[f"slot_mapping_{g}"][tokens:] = -1
