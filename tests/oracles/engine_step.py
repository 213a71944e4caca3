"""Expected buffers of the engine_step plan: what a runner computes in front of a decode or mixed step.

The definitions restate vLLM 0.33's V2 runner (v1/worker/gpu/input_batch.py, block_table.py and
cp_utils.py). A row whose ``idx_mapping`` is -1 is a dummy: it owns tokens but no state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .expected import Array, Before, Expected, Inputs
from .ragged import expand, fence, padded


@dataclass(frozen=True, slots=True)
class Group:
    """A KV-cache group: tokens of a page; how far back it is read, 0: to the beginning."""

    page: int = 16
    reach: int = 0


@dataclass(frozen=True, slots=True)
class EngineStep:
    """The groups, the draft tokens of a request, and the context-parallel interleave."""

    groups: tuple[Group, ...] = (Group(),)
    drafts: int = 0
    cp_size: int = 1
    cp_rank: int = 0
    cp_interleave: int = 1


def vec_engine_step(plan: EngineStep, inputs: Inputs, before: Before) -> Expected:
    """Array form: repeat, running sum and gather."""
    n = int(inputs["req"])
    mapping = np.asarray(inputs["idx_mapping"])[:n]
    query = np.asarray(inputs["num_scheduled"])[:n].astype(np.int64)
    real = mapping >= 0
    computed = np.where(real, inputs["num_computed_tokens"][mapping], 0).astype(np.int64)
    seq = computed + query
    logits = np.asarray(inputs["num_draft"])[:n].astype(np.int64) + 1
    requests, tokens = len(before["seq_lens"]), len(before["positions"])
    owner, offset = expand(query)
    position = computed[owner] + offset
    logit_owner, logit = expand(logits)
    starts = fence(query, requests)

    values: dict[str, Array] = {
        "query_start_loc": starts,
        "cu_num_logits": fence(logits, requests),
        "seq_lens": padded(seq, requests, 0, np.int32),
        "positions": _over(before["positions"], position),
        "input_ids": _input_ids(plan, inputs, before, mapping, computed, query, logits),
        "logits_indices": (starts[1:][logit_owner] - logits[logit_owner] + logit).astype(np.int64),
        "expanded_idx_mapping": mapping[logit_owner].astype(np.int64),
        "expanded_local_pos": logit.astype(np.int32),
        "is_padding": _is_padding(before["is_padding"], len(owner), int(inputs["padded_tokens"])),
    }
    for g, group in enumerate(plan.groups):
        table = np.asarray(inputs[f"block_table_{g}"])
        values[f"input_block_table_{g}"] = _rows_of_blocks(
            plan, g, inputs, before, mapping, computed
        )
        slots = _slots(plan, group, table, mapping[owner], position)
        values[f"slot_mapping_{g}"] = padded(slots, tokens, -1, np.int64)
    if plan.cp_size > 1:
        values["dcp_local_seq_lens"] = padded(_local_length(plan, seq), requests, 0, np.int32)
    return Expected.of(values, {})


def _over(before: Array, live: Array) -> Array:
    out = before.copy()
    out[: len(live)] = live
    return out


def _is_padding(before: Array, live: int, graph: int) -> Array:
    out = before.copy()
    out[:live] = False
    out[live:graph] = True
    return out


def _input_ids(
    plan: EngineStep,
    inputs: Inputs,
    before: Before,
    mapping: Array,
    computed: Array,
    query: Array,
    logits: Array,
) -> Array:
    """The prompt first, then the last sampled token, then the drafts: the later one stands."""
    out = before["input_ids"].copy()
    owner, offset = expand(query)
    state = mapping[owner]
    real = state >= 0
    prefill = np.where(real, inputs["prefill_len"][state], 0)
    from_end = query[owner] - offset
    generates = real & ((computed + query)[owner] > prefill)

    prompt = np.flatnonzero(real & (computed[owner] < prefill))
    column = (computed[owner] + offset)[prompt]
    out[prompt] = inputs["all_token_ids"][state[prompt], column]

    fresh = (computed + query - logits)[owner] >= prefill
    sampled = np.flatnonzero(generates & fresh & (from_end == logits[owner]))
    out[sampled] = inputs["last_sampled_tokens"][state[sampled]]

    if plan.drafts:
        draft = np.flatnonzero(generates & (from_end < logits[owner]))
        column = (logits[owner] - 1 - from_end)[draft]
        out[draft] = inputs["draft_tokens"][state[draft], column]
    return out


def _rows_of_blocks(
    plan: EngineStep, g: int, inputs: Inputs, before: Before, mapping: Array, computed: Array
) -> Array:
    group, out = plan.groups[g], before[f"input_block_table_{g}"].copy()
    n, width = len(mapping), out.shape[1]
    real = mapping >= 0
    held = np.where(real, inputs[f"num_blocks_{g}"][mapping], 0)
    hidden = np.zeros(n, np.int64)
    if group.reach and plan.cp_size == 1:
        hidden = np.maximum(computed - group.reach, 0) // group.page
    column = np.arange(width)
    blocks = np.where(column >= hidden[:, None], inputs[f"block_table_{g}"][mapping, :width], 0)
    out[:n] = np.where(column < held[:, None], blocks, out[:n])
    out[n : int(inputs["padded_reqs"])] = 0
    return out


def _slots(plan: EngineStep, group: Group, table: Array, state: Array, position: Array) -> Array:
    """Slot of each token on this rank; -1 where another rank owns it or nobody does."""
    share = plan.cp_interleave * plan.cp_size
    within = position % (group.page * plan.cp_size)
    mine = (state >= 0) & (within // plan.cp_interleave % plan.cp_size == plan.cp_rank)
    local = within // share * plan.cp_interleave + within % plan.cp_interleave
    column = np.where(mine, position // (group.page * plan.cp_size), 0)
    block = table[np.where(mine, state, 0), column].astype(np.int64)
    return np.where(mine, block * group.page + local, -1)


def _local_length(plan: EngineStep, seq: Array) -> Array:
    """Tokens of each request that this rank holds."""
    share = plan.cp_interleave * plan.cp_size
    rest = np.clip(seq % share - plan.cp_rank * plan.cp_interleave, 0, plan.cp_interleave)
    return seq // share * plan.cp_interleave + rest
