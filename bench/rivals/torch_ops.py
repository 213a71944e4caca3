# pyright: basic
"""The same metadata as chains of torch operations: fixed shapes by capacity, no wait for the device anywhere.

Shapes come from the tensors: requests from the inputs, tokens and flat entries from the buffers in ``out``. ``req`` and the
graph's sizes are device scalars ``int32[1]``. ``torch.compile`` takes these functions as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.rivals.geometry import CLASSES, V4

Tensors = Mapping[str, Tensor]
I32, I64 = torch.int32, torch.int64


def count_to(n: int, like: Tensor) -> Tensor:
    return torch.arange(n, dtype=I32, device=like.device)


def owners(ends: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(row, offset in the row) of flat elements 0..n; those behind the last row count on in the last row."""
    at = count_to(n, ends)
    row = torch.searchsorted(ends, at, right=True).clamp(max=ends.shape[0] - 1)
    start = torch.where(row > 0, ends[(row - 1).clamp(min=0)], 0)
    return row, at - start


def sums(counts: Tensor) -> Tensor:
    return torch.cumsum(counts, 0, dtype=I32)


def put_indptr(out: Tensor, ends: Tensor) -> None:
    """Exclusive sum into ``out``: dead rows count 0, so the tail repeats the last value by itself."""
    out[:1].zero_()
    out[1:].copy_(ends[: out.shape[0] - 1])


def put_rows(out: Tensor, keep: Tensor, value: Tensor) -> None:
    """``value`` where ``keep`` is false, what ``out`` held where it is true."""
    out.copy_(torch.where(keep, out, value))


def paged_decode(
    inputs: Tensors, out: Tensors, page: int = 16, window: int = 128, ring: int = 136
) -> None:
    """Fill every output of ``metaplan.plans.paged_decode``."""
    block_table = inputs["block_table"]
    columns = block_table.shape[1]
    live = count_to(inputs["query_len"].shape[0], block_table) < inputs["req"]
    query_len = torch.where(live, inputs["query_len"], 0)
    seq = torch.where(live, inputs["num_tokens"] - inputs["num_rejected"], 0)
    row = torch.where(live, inputs["table_row"], 0)
    pages = (seq + page - 1) // page
    ends, page_ends = sums(query_len), sums(pages)
    put_indptr(out["cu_seqlens_q"], ends)
    put_indptr(out["kv_page_indptr"], page_ends)
    out["seq_lens"].copy_(seq)
    out["last_page_len"].copy_(torch.where(seq == 0, 0, (seq - 1) % page + 1))
    rows = block_table[row]
    shown = torch.where(count_to(columns, row) < pages[:, None], rows, 0)
    put_rows(out["page_table"], ~live[:, None], shown)
    r, c = owners(page_ends, out["kv_page_indices"].shape[0])
    out["kv_page_indices"].copy_(rows[r, c.clamp(max=columns - 1)])

    r, j = owners(ends, out["positions"].shape[0])
    t = count_to(out["positions"].shape[0], row)
    alive = t < ends[-1]
    pos = torch.where(alive, seq[r] - query_len[r] + j, 0)
    out["positions"].copy_(pos)
    slot = rows[r, pos // page].to(I64) * page + pos % page
    out["slot_mapping"].copy_(torch.where(alive, slot, -1))
    n = torch.where(alive, (pos + 1).clamp(max=window), 0)
    key = pos - n + 1
    lane = count_to(window, row)
    rings = torch.where(lane < n[:, None], (key[:, None] + lane) % ring, -1)
    put_rows(out["window_ring"], (t >= inputs["graph_tokens"])[:, None] & ~alive[:, None], rings)
    window_ends = sums(n)
    put_indptr(out["window_indptr"], window_ends)
    w, i = owners(window_ends, out["window_indices"].shape[0])
    at = (key[w] + i).clamp(min=0, max=columns * page - 1)
    out["window_indices"].copy_(rows[r[w], at // page] * page + at % page)


def engine_step(
    inputs: Tensors,
    out: Tensors,
    groups: Sequence[Any] = (),
    cp_size: int = 1,
    cp_rank: int = 0,
    cp_interleave: int = 1,
) -> None:
    """Fill every output of ``metaplan.plans.engine_step``; the host inputs are device tensors here."""
    requests = count_to(inputs["idx_mapping"].shape[0], inputs["num_scheduled"])
    live = requests < inputs["req"]
    row = inputs["idx_mapping"]
    real = live & (row >= 0)
    state = torch.where(real, row, 0)
    scheduled = torch.where(live, inputs["num_scheduled"], 0)
    drafts = torch.where(live, inputs["num_draft"], 0)
    logits = torch.where(live, drafts + 1, 0)
    ends, fences = sums(scheduled), sums(logits)
    put_indptr(out["query_start_loc"], ends)
    put_indptr(out["cu_num_logits"], fences)
    computed = torch.where(real, inputs["num_computed_tokens"][state], 0)
    prefill = torch.where(real, inputs["prefill_len"][state], 0)
    seq = torch.where(live, computed + scheduled, 0)
    out["seq_lens"].copy_(seq)

    capacity = out["positions"].shape[0]
    r, j = owners(ends, capacity)
    t = count_to(capacity, ends)
    alive = t < ends[-1]
    pos = torch.where(alive, computed[r] + j, 0)
    put_rows(out["positions"], ~alive, pos.to(I64))
    back = ends[r] - 1 - t
    owner = state[r]
    ids = out["input_ids"]
    tokens = inputs["all_token_ids"]
    from_prompt = alive & (real & (computed < prefill))[r]
    ids_new = torch.where(from_prompt, tokens[owner, pos.clamp(max=tokens.shape[1] - 1)], ids)
    decoding = alive & (real & (seq > prefill))[r]
    is_last = decoding & (back == drafts[r]) & (seq - drafts - 1 >= prefill)[r]
    ids_new = torch.where(is_last, inputs["last_sampled_tokens"][owner].to(I32), ids_new)
    if "draft_tokens" in inputs:
        table = inputs["draft_tokens"]
        at = (drafts[r] - 1 - back).clamp(min=0, max=table.shape[1] - 1)
        is_draft = decoding & (back < drafts[r])
        ids_new = torch.where(is_draft, table[owner, at].to(I32), ids_new)
    ids.copy_(ids_new)
    put_rows(out["is_padding"], t >= torch.maximum(ends[-1], inputs["padded_tokens"]), ~alive)

    lr, lj = owners(fences, out["logits_indices"].shape[0])
    out["logits_indices"].copy_((ends - logits)[lr] + lj)  # tails are undefined
    out["expanded_idx_mapping"].copy_(row[lr])
    out["expanded_local_pos"].copy_(lj)

    kept = requests >= torch.maximum(inputs["padded_reqs"], inputs["req"])
    for g, group in enumerate(groups):
        rows = inputs[f"block_table_{g}"][state]
        columns = rows.shape[1]
        blocks = torch.where(real, inputs[f"num_blocks_{g}"][state], 0)
        column = count_to(columns, ends)
        if group.reach and cp_size == 1:
            nulls = (computed - group.reach).clamp(min=0) // group.page
            shown = torch.where(column >= nulls[:, None], rows, 0)
        else:
            shown = rows
        keep = kept[:, None] | (live[:, None] & (column >= blocks[:, None]))
        put_rows(out[f"input_block_table_{g}"], keep, torch.where(live[:, None], shown, 0))
        offset = pos % (group.page * cp_size)
        cycle = cp_size * cp_interleave
        local = offset // cycle * cp_interleave + offset % cp_interleave
        mine = alive & real[r] & (offset // cp_interleave % cp_size == cp_rank)
        at = (pos // (group.page * cp_size)).clamp(max=columns - 1)
        slot = rows[r, at].to(I64) * group.page + local
        out[f"slot_mapping_{g}"].copy_(torch.where(mine, slot, -1))
    if cp_size > 1:
        cycle = cp_size * cp_interleave
        rest = (seq % cycle - cp_rank * cp_interleave).clamp(min=0, max=cp_interleave)
        out["dcp_local_seq_lens"].copy_(seq // cycle * cp_interleave + rest)


def post_update(inputs: Tensors, out: Tensors) -> None:
    """Update the state tables in ``out`` in place; state rows that no live request owns keep their values."""
    row = inputs["idx_mapping"]
    requests = torch.arange(row.shape[0], device=row.device)
    valid = (requests < inputs["req"]) & (row >= 0)
    states = out["num_computed_tokens"].shape[0]
    owner = torch.full((states + 1,), -1, dtype=I64, device=row.device)
    owner[torch.where(valid, row, states)] = torch.where(valid, requests, -1)
    owner = owner[:states]
    owned, r = owner >= 0, owner.clamp(min=0)
    sampled = torch.where(owned, inputs["num_sampled"][r], 0)
    last = (sampled - 1).clamp(min=0)
    tokens = inputs["sampled_tokens"]
    some = sampled > 0
    put_rows(out["last_sampled_tokens"], ~some, tokens[r, last])
    lane = torch.minimum(count_to(tokens.shape[1], row), last[:, None])
    table, total = out["all_token_ids"], out["total_len"]
    at = (total[:, None] + lane).clamp(max=table.shape[1] - 1).to(I64)
    new = tokens[r[:, None], lane].to(I32)
    table.scatter_(1, at, torch.where(some[:, None], new, table.gather(1, at)))
    total.add_(sampled)
    starts = inputs["query_start_loc"]
    delta = starts[r + 1] - starts[r] - inputs["num_rejected"][r]
    out["num_computed_tokens"].add_(torch.where(owned, delta, 0))
    if "draft_tokens" in out:
        put_rows(out["draft_tokens"], ~owned[:, None], inputs["new_draft_tokens"][r])


def v4_decode(inputs: Tensors, out: Tensors, v4: V4) -> None:
    """Fill the decode fields of ``metaplan.plans.v4_decode``: all but the compress and write plans."""
    requests = count_to(inputs["query_len"].shape[0], inputs["query_len"])
    graph = inputs["graph_requests"]
    live, in_graph = requests < inputs["req"], requests < graph
    lens = torch.where(live, inputs["query_len"], 0)
    ctx = torch.where(live, inputs["ctx_sched"] - inputs["num_rejected"], 0)
    columns = inputs["block_table"].shape[1]
    inside = count_to(columns, lens) < inputs["num_blocks"][:, None]
    table = torch.where(inside & live[:, None], inputs["block_table"], 0)
    slot = v4.slot_positions - 1 - inputs["group"]
    fork = inputs["fork_src"]
    ends = sums(lens)
    put_indptr(out["cu_seqlens_q"], ends)
    put_rows(out["context_lens"], ~live, ctx)
    put_rows(out["block_tables"], ~live[:, None], table)
    put_rows(out["state_slot_out"], ~live, slot)
    put_rows(
        out["state_slot_in"], ~live, torch.where(fork >= 0, v4.slot_positions - 1 - fork, slot)
    )
    per_request = torch.where(live, ctx // 4, v4.topk)
    put_rows(out["n_committed_csa_per_seq"], ~in_graph, per_request)
    put_rows(out["n_committed_hca_per_seq"], ~live, ctx // 128)

    capacity = out["positions"].shape[0]
    r, j = owners(ends, capacity)
    t = count_to(capacity, ends)
    alive, pads = t < ends[-1], t >= graph * v4.queries
    pos = torch.where(alive, ctx[r] - v4.queries + j, 0)
    put_rows(out["positions"], pads, pos.to(I64))
    put_rows(out["batch_id_per_token"], pads, torch.where(alive, r.to(I32), -1))
    fence = count_to(capacity + 1, ends)
    put_rows(out["qo_indptr"], fence > graph * v4.queries, torch.minimum(fence, ends[-1]))
    seen = torch.where(alive, torch.minimum((pos + 1) // 4, ctx[r] // 4), 0)
    put_rows(out["n_committed_per_token"], pads, seen)
    put_rows(out["block_tables_per_token"], pads[:, None], torch.where(alive[:, None], table[r], 0))
    n = torch.where(alive, (pos + 1).clamp(max=v4.window), 0)
    none = torch.zeros_like(n)
    heads = (none, seen.clamp(max=v4.topk), torch.where(alive, ctx[r] // 128, 0))
    for name, ring, head in zip(CLASSES, v4.rings, heads, strict=True):
        entry_ends = sums(n + head)
        put_indptr(out[f"kv_indptr_{name}"], entry_ends)
        flat = out[f"kv_indices_{name}"]
        owner, i = owners(entry_ends, flat.shape[0])
        keep = count_to(flat.shape[0], ends) >= entry_ends[-1]
        value = flat
        h = head[owner]
        if ring is not None:
            at = (pos - n + 1)[owner] + (i - h).clamp(min=0)
            value = ring.row(slot[r[owner]], at)
            put_rows(out[f"swa_dest_{name}"], ~alive, ring.row(slot[r], pos))
        if name == "hca" or (name == "csa" and "topk_local" in inputs):
            rows = v4.block // (128 if name == "hca" else 4)
            if name == "csa":
                chosen = inputs["topk_local"]
                i_entry = chosen[owner, i.clamp(max=chosen.shape[1] - 1)]
            else:
                i_entry = i
            at = (i_entry // rows).clamp(min=0, max=columns - 1)
            value = torch.where(
                i < h, table[r[owner], at] * v4.envelope_rows + i_entry % rows, value
            )
        elif name == "csa":
            value = torch.where(i < h, flat, value)
        put_rows(flat, keep, value)
