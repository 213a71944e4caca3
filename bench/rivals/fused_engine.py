# pyright: basic
"""One hand-written kernel for all outputs of ``engine_step``, and one for ``post_update``.

Programs of the step, in this order: one per request for its tokens, logits and slots of all groups; one per (group, row,
part) for the block tables; one per ``TAIL`` tokens for padding flags and slot tails. Each sums the counts of the requests
before it by itself. Queries longer than ``QUERY`` are walked in tiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
import triton.language as tl


@triton.jit
def engine_step_kernel(
    req,
    padded_reqs,
    padded_tokens,
    idx_mapping,
    num_scheduled,
    num_draft,
    num_computed_tokens,
    prefill_len,
    all_token_ids,
    last_sampled_tokens,
    draft_tokens,
    block_tables,
    num_blocks,
    query_start_loc,
    cu_num_logits,
    seq_lens,
    dcp_local_seq_lens,
    positions,
    input_ids,
    logits_indices,
    expanded_idx_mapping,
    expanded_local_pos,
    is_padding,
    input_block_tables,
    slot_mappings,
    columns,
    requests,
    tokens,
    model_len,
    GROUPS: tl.constexpr,
    PAGES: tl.constexpr,
    REACH: tl.constexpr,
    DRAFTS: tl.constexpr,
    LOGITS2: tl.constexpr,
    CP_SIZE: tl.constexpr,
    CP_RANK: tl.constexpr,
    CP_INTERLEAVE: tl.constexpr,
    QUERY: tl.constexpr,
    REQ2: tl.constexpr,
    TILE: tl.constexpr,
    SPLIT: tl.constexpr,
    TAIL: tl.constexpr,
):
    pid = tl.program_id(0)
    row_programs = requests + 1
    table_programs = requests * SPLIT * GROUPS
    live = tl.load(req)
    CYCLE: tl.constexpr = CP_SIZE * CP_INTERLEAVE

    if pid < row_programs:
        r = pid
        inside = (
            r < requests
        )  # rows beyond the live ones are read too, so that nothing waits for ``live``
        state = tl.load(idx_mapping + r, mask=inside, other=-1)
        query = tl.load(num_scheduled + r, mask=inside, other=0)
        drafts = tl.load(num_draft + r, mask=inside, other=0)
        alive = r < live
        query = tl.where(alive, query, 0)
        real = alive & (state >= 0)
        computed = tl.load(num_computed_tokens + state, mask=real, other=0)
        prefill = tl.load(prefill_len + state, mask=real, other=0)
        sampled = tl.load(last_sampled_tokens + state, mask=real, other=0).to(tl.int32)
        i = tl.arange(0, REQ2)
        scheduled = tl.load(num_scheduled + i, mask=i < r, other=0)
        rows = tl.load(num_draft + i, mask=i < r, other=-1) + 1
        scheduled, rows = tl.where(i < live, scheduled, 0), tl.where(i < live, rows, 0)
        token_start = tl.sum(scheduled)
        logit_start = tl.sum(rows)
        tl.store(query_start_loc + r, token_start)
        tl.store(cu_num_logits + r, logit_start)
        seq = computed + query
        if r < requests:
            tl.store(seq_lens + r, seq)
            if CP_SIZE > 1:
                rest = tl.minimum(
                    tl.maximum(seq % CYCLE - CP_RANK * CP_INTERLEAVE, 0), CP_INTERLEAVE
                )
                tl.store(dcp_local_seq_lens + r, seq // CYCLE * CP_INTERLEAVE + rest)
        if alive:
            first_logit = query - drafts - 1
            lane = tl.arange(0, LOGITS2)
            is_logit = lane <= drafts
            logit = token_start + first_logit + lane
            tl.store(logits_indices + logit_start + lane, logit.to(tl.int64), mask=is_logit)
            tl.store(
                expanded_idx_mapping + logit_start + lane,
                tl.zeros_like(lane) + state,
                mask=is_logit,
            )
            tl.store(expanded_local_pos + logit_start + lane, lane, mask=is_logit)
            prompt = real & (computed < prefill)
            decode = real & (seq > prefill)
            with_sampled = decode & (seq - drafts - 1 >= prefill)
            prompt_tokens = all_token_ids + state * model_len
            for at in range(0, query, QUERY):
                j = at + tl.arange(0, QUERY)
                here = j < query
                pos = computed + j
                t = token_start + j
                is_sampled = with_sampled & (j == first_logit)
                is_draft = decode & (j > first_logit)
                ids = tl.load(
                    prompt_tokens + pos, mask=here & prompt & ~is_sampled & ~is_draft, other=0
                )
                ids = tl.where(is_sampled, sampled, ids)
                if DRAFTS > 0:
                    draft = draft_tokens + state * DRAFTS + (j - first_logit - 1)
                    ids = tl.where(
                        is_draft, tl.load(draft, mask=here & is_draft, other=0).to(tl.int32), ids
                    )
                tl.store(input_ids + t, ids, mask=here & (prompt | is_sampled | is_draft))
                tl.store(positions + t, pos.to(tl.int64), mask=here)
                for g in tl.static_range(GROUPS):
                    mine = here & real
                    offset = pos % (PAGES[g] * CP_SIZE)
                    if CP_SIZE > 1:
                        mine = mine & (offset // CP_INTERLEAVE % CP_SIZE == CP_RANK)
                        offset = offset // CYCLE * CP_INTERLEAVE + offset % CP_INTERLEAVE
                    entry = block_tables[g] + state * columns[g] + pos // (PAGES[g] * CP_SIZE)
                    block = tl.load(entry, mask=mine, other=0).to(tl.int64)
                    slot = tl.where(mine, block * PAGES[g] + offset, -1)
                    tl.store(slot_mappings[g] + t, slot, mask=here)
    elif pid < row_programs + table_programs:
        part = (pid - row_programs) % SPLIT
        r = (pid - row_programs) // SPLIT % requests
        group = (pid - row_programs) // SPLIT // requests
        state = tl.load(idx_mapping + r)
        if r < live:
            if state >= 0:
                computed = tl.load(num_computed_tokens + state)
                for g in tl.static_range(GROUPS):
                    if group == g:
                        blocks = tl.load(num_blocks[g] + state)
                        nulls = 0
                        if REACH[g] > 0 and CP_SIZE == 1:
                            nulls = tl.maximum(computed - REACH[g], 0) // PAGES[g]
                        source = block_tables[g] + state * columns[g]
                        target = input_block_tables[g] + r.to(tl.int64) * columns[g]
                        for at in range(part * TILE, blocks, SPLIT * TILE):
                            c = at + tl.arange(0, TILE)
                            block = tl.load(source + c, mask=(c >= nulls) & (c < blocks), other=0)
                            tl.store(target + c, block, mask=c < blocks)
        elif r < tl.load(padded_reqs):
            for g in tl.static_range(GROUPS):
                if group == g:
                    target = input_block_tables[g] + r.to(tl.int64) * columns[g]
                    for at in range(part * TILE, columns[g], SPLIT * TILE):
                        c = at + tl.arange(0, TILE)
                        tl.store(target + c, tl.zeros((TILE,), tl.int32), mask=c < columns[g])
    else:
        t = (pid - row_programs - table_programs) * TAIL + tl.arange(0, TAIL)
        i = tl.arange(0, REQ2)
        scheduled = tl.load(num_scheduled + i, mask=i < requests, other=0)
        total = tl.sum(tl.where(i < live, scheduled, 0))
        behind = t >= total
        padded = tl.maximum(tl.load(padded_tokens), total)
        tl.store(is_padding + t, behind, mask=(t < padded) & (t < tokens))
        if tl.max(t) >= total:
            for g in tl.static_range(GROUPS):
                tl.store(
                    slot_mappings[g] + t, tl.full((TAIL,), -1, tl.int64), mask=behind & (t < tokens)
                )


def engine_step(
    inputs: Mapping[str, torch.Tensor],
    out: Mapping[str, torch.Tensor],
    groups: Sequence[Any] = (),
    drafts: int = 0,
    cp_size: int = 1,
    cp_rank: int = 0,
    cp_interleave: int = 1,
    most: int = 8,
) -> None:
    """Fill every output of ``metaplan.plans.engine_step`` in one launch; the host inputs are device tensors here.

    ``most`` is the longest query that is laid out for; longer ones are right, but walked in tiles.
    """
    requests, tokens = out["seq_lens"].shape[0], out["positions"].shape[0]
    each = range(len(groups))
    tables = tuple(inputs[f"block_table_{g}"] for g in each)
    columns = tuple(table.shape[1] for table in tables)
    tile = min(1024, triton.next_power_of_2(max(columns)))
    split = max(1, min(triton.cdiv(max(columns), tile), 1024 // (requests * len(groups))))
    tail = 128
    grid = requests + 1 + requests * split * len(groups) + triton.cdiv(tokens, tail)
    engine_step_kernel[(grid,)](
        inputs["req"],
        inputs["padded_reqs"],
        inputs["padded_tokens"],
        inputs["idx_mapping"],
        inputs["num_scheduled"],
        inputs["num_draft"],
        inputs["num_computed_tokens"],
        inputs["prefill_len"],
        inputs["all_token_ids"],
        inputs["last_sampled_tokens"],
        inputs["draft_tokens"] if drafts else inputs["last_sampled_tokens"],
        tables,
        tuple(inputs[f"num_blocks_{g}"] for g in each),
        out["query_start_loc"],
        out["cu_num_logits"],
        out["seq_lens"],
        out["dcp_local_seq_lens"] if cp_size > 1 else out["seq_lens"],
        out["positions"],
        out["input_ids"],
        out["logits_indices"],
        out["expanded_idx_mapping"],
        out["expanded_local_pos"],
        out["is_padding"],
        tuple(out[f"input_block_table_{g}"] for g in each),
        tuple(out[f"slot_mapping_{g}"] for g in each),
        columns,
        requests,
        tokens,
        inputs["all_token_ids"].shape[1],
        GROUPS=len(groups),
        PAGES=tuple(group.page for group in groups),
        REACH=tuple(group.reach for group in groups),
        DRAFTS=drafts,
        LOGITS2=triton.next_power_of_2(drafts + 1),
        CP_SIZE=cp_size,
        CP_RANK=cp_rank,
        CP_INTERLEAVE=cp_interleave,
        QUERY=min(1024, triton.next_power_of_2(most)),
        REQ2=triton.next_power_of_2(requests),
        TILE=tile,
        SPLIT=split,
        TAIL=tail,
        num_warps=4,
    )


@triton.jit
def post_update_kernel(
    req,
    idx_mapping,
    query_start_loc,
    sampled_tokens,
    num_sampled,
    num_rejected,
    new_draft_tokens,
    num_computed_tokens,
    last_sampled_tokens,
    total_len,
    all_token_ids,
    draft_tokens,
    requests,
    model_len,
    DRAFTS: tl.constexpr,
    LANES: tl.constexpr,
    ROWS: tl.constexpr,
):
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    alive = r < tl.load(req)
    state = tl.load(idx_mapping + r, mask=alive, other=-1)
    own = state >= 0
    queries = tl.load(query_start_loc + r + 1, mask=own, other=0)
    queries -= tl.load(query_start_loc + r, mask=own, other=0)
    queries -= tl.load(num_rejected + r, mask=own, other=0)
    sampled = tl.load(num_sampled + r, mask=own, other=0)
    computed = tl.load(num_computed_tokens + state, mask=own, other=0)
    length = tl.load(total_len + state, mask=own, other=0)
    lane = tl.arange(0, LANES)[None, :]
    given = own[:, None] & (lane < sampled[:, None])
    token = tl.load(sampled_tokens + r[:, None] * (DRAFTS + 1) + lane, mask=given, other=0)
    tl.store(num_computed_tokens + state, computed + queries, mask=own)
    tl.store(total_len + state, length + sampled, mask=own)
    place = all_token_ids + (state * model_len + length)[:, None] + lane
    tl.store(place, token.to(tl.int32), mask=given)
    is_last = given & (lane == sampled[:, None] - 1)
    last = last_sampled_tokens + state[:, None] + tl.zeros_like(lane)
    tl.store(last, token, mask=is_last)
    if DRAFTS > 0:
        mask = own[:, None] & (lane < DRAFTS)
        draft = tl.load(new_draft_tokens + r[:, None] * DRAFTS + lane, mask=mask, other=0)
        tl.store(draft_tokens + state[:, None] * DRAFTS + lane, draft, mask=mask)


def post_update(
    inputs: Mapping[str, torch.Tensor], out: Mapping[str, torch.Tensor], drafts: int = 0
) -> None:
    """Update the state tables in ``out`` in place, in one launch."""
    requests, rows = inputs["idx_mapping"].shape[0], 16
    post_update_kernel[(triton.cdiv(requests, rows),)](
        inputs["req"],
        inputs["idx_mapping"],
        inputs["query_start_loc"],
        inputs["sampled_tokens"],
        inputs["num_sampled"],
        inputs["num_rejected"],
        inputs["new_draft_tokens"] if drafts else inputs["sampled_tokens"],
        out["num_computed_tokens"],
        out["last_sampled_tokens"],
        out["total_len"],
        out["all_token_ids"],
        out["draft_tokens"] if drafts else out["last_sampled_tokens"],
        requests,
        out["all_token_ids"].shape[1],
        DRAFTS=drafts,
        LANES=triton.next_power_of_2(drafts + 1),
        ROWS=rows,
        num_warps=1,
    )
