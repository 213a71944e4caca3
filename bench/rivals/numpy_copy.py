# pyright: basic
"""The CPU's way: vectorised numpy for every field, then one pinned copy per field to the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bench.rivals.geometry import CLASSES, V4

I32, I64 = np.int32, np.int64
Arrays = dict[str, np.ndarray]


class Stager:
    """Pinned twins of the output buffers; ``copy`` sends the rows that a step wrote, one transfer a field.

    One twin only: an engine has to wait, or keep several, before it writes one again. That cost is left out here.
    """

    def __init__(self, out: Mapping[str, torch.Tensor]) -> None:
        self.out = out
        pin = torch.cuda.is_available()
        self.host = {n: torch.empty(o.shape, dtype=o.dtype, pin_memory=pin) for n, o in out.items()}
        self.view = {name: value.numpy() for name, value in self.host.items()}

    def copy(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            rows = len(array)
            self.view[name][:rows] = array
            self.out[name][:rows].copy_(self.host[name][:rows], non_blocking=True)


def expand(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, offset in the row) of every element of ragged rows with these lengths."""
    row = np.repeat(np.arange(len(counts)), counts)
    start = np.cumsum(counts) - counts
    return row, np.arange(len(row)) - start[row]


def indptr(counts: np.ndarray, capacity: int) -> np.ndarray:
    """Exclusive sum ``int32[capacity + 1]`` whose tail repeats the last value."""
    out = np.zeros(capacity + 1, I32)
    np.cumsum(counts, out=out[1 : len(counts) + 1])
    out[len(counts) + 1 :] = out[len(counts)]
    return out


def padded(values: np.ndarray, capacity: int, fill: int, dtype: Any) -> np.ndarray:
    out = np.full(capacity, fill, dtype)
    out[: len(values)] = values
    return out


def paged_decode(
    inputs: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    page: int = 16,
    window: int = 128,
    ring: int = 136,
) -> Arrays:
    """Rows to write of every output of ``metaplan.plans.paged_decode``, from the front of its buffer."""
    live, graph_tokens = int(inputs["req"]), int(inputs["graph_tokens"])
    query_len = inputs["query_len"][:live]
    seq = inputs["num_tokens"][:live] - inputs["num_rejected"][:live]
    table = inputs["block_table"][inputs["table_row"][:live]]
    requests, tokens = shapes["seq_lens"][0], shapes["positions"][0]
    r, j = expand(query_len)
    pos = seq[r] - query_len[r] + j
    pages = -(-seq // page)
    columns = np.arange(table.shape[1]) < pages[:, None]
    n = np.minimum(pos + 1, window)
    key = pos - n + 1
    lane = np.arange(window)
    inside = lane < n[:, None]
    rings = np.full((max(graph_tokens, len(r)), window), -1, I32)
    rings[: len(r)][inside] = ((key[:, None] + lane) % ring)[inside]
    t, i = expand(n)
    at = key[t] + i
    return {
        "positions": padded(pos, tokens, 0, I64),
        "cu_seqlens_q": indptr(query_len, requests),
        "seq_lens": padded(seq, requests, 0, I32),
        "slot_mapping": padded(table[r, pos // page].astype(I64) * page + pos % page, tokens, -1, I64),
        "page_table": np.where(columns, table, 0).astype(I32),
        "kv_page_indptr": indptr(pages, requests),
        "kv_page_indices": table[columns],
        "last_page_len": padded(np.where(seq == 0, 0, (seq - 1) % page + 1), requests, 0, I32),
        "window_ring": rings,
        "window_indptr": indptr(n, tokens),
        "window_indices": table[r[t], at // page] * page + at % page,
    }  # fmt: skip


def engine_step(
    inputs: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    before: Mapping[str, np.ndarray],
    groups: Sequence[Any],
    cp_size: int = 1,
    cp_rank: int = 0,
    cp_interleave: int = 1,
) -> Arrays:
    """Rows to write of every output of ``metaplan.plans.engine_step``; ``before`` where an output keeps what it held."""
    live, padded_tokens = int(inputs["req"]), int(inputs["padded_tokens"])
    row = inputs["idx_mapping"][:live]
    real = row >= 0
    state = np.maximum(row, 0)
    scheduled, drafts = inputs["num_scheduled"][:live], inputs["num_draft"][:live]
    requests, capacity = shapes["seq_lens"][0], shapes["positions"][0]
    computed = np.where(real, inputs["num_computed_tokens"][state], 0)
    prefill = inputs["prefill_len"][state]
    seq = computed + scheduled
    r, j = expand(scheduled)
    tokens = len(r)
    pos = computed[r] + j
    starts, fences = indptr(scheduled, requests), indptr(drafts + 1, requests)
    # who writes a token id: the prompt, then the last sampled token and the drafts over it
    ids = before["input_ids"][:tokens].copy()
    prompt = (real & (computed < prefill))[r]
    ids[prompt] = inputs["all_token_ids"][state[r[prompt]], pos[prompt]]
    back = starts[1 : live + 1][r] - np.arange(tokens) - 1  # 0 at the last token of a request
    decode = (real & (seq > prefill))[r]
    last = decode & (back == drafts[r]) & ((seq - drafts - 1) >= prefill)[r]
    ids[last] = inputs["last_sampled_tokens"][state[r[last]]]
    draft = decode & (back < drafts[r])
    if draft.any():
        ids[draft] = inputs["draft_tokens"][state[r[draft]], (drafts[r] - 1 - back)[draft]]
    lr, lj = expand(drafts + 1)
    out: Arrays = {
        "query_start_loc": starts,
        "cu_num_logits": fences,
        "seq_lens": padded(seq, requests, 0, I32),
        "positions": pos.astype(I64),
        "input_ids": ids,
        "logits_indices": (starts[1 : live + 1] - drafts - 1)[lr].astype(I64) + lj,
        "expanded_idx_mapping": row[lr],
        "expanded_local_pos": lj.astype(I32),
        "is_padding": np.arange(max(padded_tokens, tokens)) >= tokens,
    }
    cycle = cp_size * cp_interleave
    for g, group in enumerate(groups):
        table, blocks = inputs[f"block_table_{g}"], inputs[f"num_blocks_{g}"][state]
        blocks = np.where(real, blocks, 0)
        reach = group.reach if cp_size == 1 else 0
        nulls = np.maximum(computed - reach, 0) // group.page if reach else np.zeros_like(computed)
        rows = before[f"input_block_table_{g}"][: max(int(inputs["padded_reqs"]), live)].copy()
        columns = np.arange(table.shape[1])
        copied = columns < blocks[:, None]
        shown = np.where(columns >= nulls[:, None], table[state], 0)
        rows[:live][copied] = shown[copied]
        rows[live:] = 0
        out[f"input_block_table_{g}"] = rows
        offset = pos % (group.page * cp_size)
        local = offset // cycle * cp_interleave + offset % cp_interleave
        mine = (offset // cp_interleave % cp_size == cp_rank) & real[r]
        slot = table[state[r], pos // (group.page * cp_size)].astype(I64) * group.page + local
        out[f"slot_mapping_{g}"] = padded(np.where(mine, slot, -1), capacity, -1, I64)
    if cp_size > 1:
        rest = np.clip(seq % cycle - cp_rank * cp_interleave, 0, cp_interleave)
        out["dcp_local_seq_lens"] = padded(seq // cycle * cp_interleave + rest, requests, 0, I32)
    return out


def post_update(inputs: Mapping[str, Any]) -> Arrays:
    """The state tables after sampling, whole; new arrays."""
    live = int(inputs["req"])
    row = inputs["idx_mapping"][:live]
    at = np.flatnonzero(row >= 0)
    state, sampled = row[at], inputs["num_sampled"][:live][at]
    names = ("num_computed_tokens", "last_sampled_tokens", "total_len", "all_token_ids")
    out = {name: inputs[name].copy() for name in names}
    some = sampled > 0
    out["last_sampled_tokens"][state[some]] = inputs["sampled_tokens"][at[some], sampled[some] - 1]
    i, j = expand(sampled)
    tokens = inputs["sampled_tokens"][at[i], j]
    out["all_token_ids"][state[i], inputs["total_len"][state[i]] + j] = tokens
    out["total_len"][state] += sampled
    queries = np.diff(inputs["query_start_loc"][: live + 1])[at]
    out["num_computed_tokens"][state] += queries - inputs["num_rejected"][:live][at]
    if "draft_tokens" in inputs:
        out["draft_tokens"] = inputs["draft_tokens"].copy()
        out["draft_tokens"][state] = inputs["new_draft_tokens"][at]
    return out


def v4_decode(
    inputs: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    before: Mapping[str, np.ndarray],
    v4: V4,
) -> Arrays:
    """Rows to write of the decode fields of ``metaplan.plans.v4_decode``: all but the compress and write plans."""
    live, graph = int(inputs["req"]), int(inputs["graph_requests"])
    total = graph * v4.queries
    lens = inputs["query_len"][:live]
    ctx = inputs["ctx_sched"][:live] - inputs["num_rejected"][:live]
    table = inputs["block_table"][:live]
    table = np.where(np.arange(table.shape[1]) < inputs["num_blocks"][:live, None], table, 0)
    r, j = expand(lens)
    tokens = len(r)
    pos = (ctx[r] - v4.queries + j).astype(I64)
    n = np.minimum(pos + 1, v4.window)
    seen = np.minimum((pos + 1) // 4, ctx[r] // 4)
    head = {"swa": np.zeros_like(n), "csa": np.minimum(seen, v4.topk), "hca": ctx[r] // 128}
    slot = v4.slot_positions - 1 - inputs["group"][:live]
    fork = inputs["fork_src"][:live]
    per_token = np.zeros((total, table.shape[1]), I32)
    per_token[:tokens] = table[r]
    out: Arrays = {
        "positions": padded(pos, total, 0, I64),
        "cu_seqlens_q": indptr(lens, graph),
        "context_lens": ctx,
        "block_tables": table,
        "state_slot_out": slot,
        "state_slot_in": np.where(fork >= 0, v4.slot_positions - 1 - fork, slot),
        "batch_id_per_token": padded(r, total, -1, I32),
        "n_committed_csa_per_seq": padded(ctx // 4, graph, v4.topk, I32),
        "n_committed_hca_per_seq": ctx // 128,
        "qo_indptr": np.minimum(np.arange(total + 1), tokens),
        "n_committed_per_token": padded(seen, total, 0, I32),
        "block_tables_per_token": per_token,
    }
    wt, wi = expand(n)
    at = (pos - n + 1)[wt] + wi
    for name, ring in zip(CLASSES, v4.rings, strict=True):
        ptr = indptr(n + head[name], total)
        out[f"kv_indptr_{name}"] = ptr
        flat = before[f"kv_indices_{name}"][: ptr[tokens]].copy()
        if ring is not None:
            flat[ptr[wt] + head[name][wt] + wi] = ring.row(slot[r[wt]], at)
            out[f"swa_dest_{name}"] = ring.row(slot[r], pos)
        ht, hi = expand(head[name])
        if name == "hca":
            entry, rows = hi, v4.block // 128
        elif name == "csa" and "topk_local" in inputs:
            entry, rows = inputs["topk_local"][ht, hi].astype(I64), v4.block // 4
        else:
            out[f"kv_indices_{name}"] = flat
            continue
        block = table[r[ht], np.clip(entry // rows, 0, table.shape[1] - 1)]
        flat[ptr[ht] + hi] = block * v4.envelope_rows + entry % rows
        out[f"kv_indices_{name}"] = flat
    return out
