# pyright: basic
"""One hand-written kernel for all outputs of ``paged_decode``: what a good engineer writes for a fixed capacity.

Programs, in this order: one (or ``ROWS``) per request for everything that is as long as its tokens, one per tile of a
request's page row, one per ``TAIL`` tokens for what lies behind the live ones. Nobody waits for anybody: each sums the
counts of the requests before it with one vector load.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import triton
import triton.language as tl


@triton.jit
def window_sum(first, count, W: tl.constexpr):
    """Sum of ``min(first + j + 1, W)`` over ``j < count``."""
    rising = tl.minimum(tl.maximum(W - first, 0), count)
    return rising * first + rising * (rising + 1) // 2 + (count - rising) * W


@triton.jit
def paged_decode_kernel(
    req,
    num_tokens,
    num_rejected,
    query_len,
    table_row,
    block_table,
    graph_tokens,
    positions,
    cu_seqlens_q,
    seq_lens,
    slot_mapping,
    page_table,
    kv_page_indptr,
    kv_page_indices,
    last_page_len,
    window_ring,
    window_indptr,
    window_indices,
    requests,
    tokens,
    columns,
    PAGE: tl.constexpr,
    W: tl.constexpr,
    W2: tl.constexpr,
    RING: tl.constexpr,
    Q2: tl.constexpr,
    REQ2: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
    SPLIT: tl.constexpr,
    TAIL: tl.constexpr,
):
    pid = tl.program_id(0)
    row_programs = (
        requests + ROWS
    ) // ROWS  # one row more than requests: it writes the fences' last entry
    page_programs = requests * SPLIT
    live = tl.load(req)
    i = tl.arange(0, REQ2)

    if pid < row_programs:
        first_row = pid * ROWS
        before = (
            i < first_row
        )  # rows beyond the live ones are read too, so that nothing waits for ``live``
        lens = tl.load(query_len + i, mask=before, other=0)
        seqs = tl.load(num_tokens + i, mask=before, other=0)
        seqs -= tl.load(num_rejected + i, mask=before, other=0)
        lens, seqs = tl.where(i < live, lens, 0), tl.where(i < live, seqs, 0)
        token_start = tl.sum(lens)
        page_start = tl.sum((seqs + PAGE - 1) // PAGE)
        window_start = tl.sum(window_sum(seqs - lens, lens, W))
        for k in tl.static_range(ROWS):
            r = first_row + k
            inside_buffer = r < requests
            q = tl.load(query_len + r, mask=inside_buffer, other=0)
            seq = tl.load(num_tokens + r, mask=inside_buffer, other=0)
            seq -= tl.load(num_rejected + r, mask=inside_buffer, other=0)
            alive = r < live
            q, seq = tl.where(alive, q, 0), tl.where(alive, seq, 0)
            table = (
                block_table
                + tl.load(table_row + r, mask=inside_buffer, other=0).to(tl.int64) * columns
            )
            tl.store(cu_seqlens_q + r, token_start, mask=r <= requests)
            tl.store(kv_page_indptr + r, page_start, mask=r <= requests)
            tl.store(seq_lens + r, seq, mask=r < requests)
            full = tl.where(seq == 0, 0, (seq - 1) % PAGE + 1)
            tl.store(last_page_len + r, full, mask=r < requests)
            if alive:
                j = tl.arange(0, Q2)
                here = j < q
                pos = seq - q + j
                t = token_start + j
                page_id = tl.load(table + pos // PAGE, mask=here, other=0)
                lane = tl.arange(0, W2)[None, :]
                n = tl.minimum(pos + 1, W)
                at = (pos - n + 1)[:, None] + lane
                inside = here[:, None] & (lane < n[:, None])
                key_page = tl.load(table + at // PAGE, mask=inside, other=0)
                start = window_start + window_sum(seq - q, j, W)
                tl.store(positions + t, pos.to(tl.int64), mask=here)
                slot = page_id.to(tl.int64) * PAGE + pos % PAGE
                tl.store(slot_mapping + t, slot, mask=here)
                tl.store(window_indptr + t, start, mask=here)
                ring = tl.where(inside, at % RING, -1)
                tl.store(window_ring + t[:, None] * W + lane, ring, mask=here[:, None] & (lane < W))
                flat = key_page * PAGE + at % PAGE
                tl.store(window_indices + start[:, None] + lane, flat, mask=inside)
            token_start += q
            page_start += (seq + PAGE - 1) // PAGE
            window_start += window_sum(seq - q, q, W)
    elif pid < row_programs + page_programs:
        r = (pid - row_programs) // SPLIT
        part = (pid - row_programs) % SPLIT
        if r < live:
            seq = tl.load(num_tokens + r) - tl.load(num_rejected + r)
            source = block_table + tl.load(table_row + r).to(tl.int64) * columns
            pages = (seq + PAGE - 1) // PAGE
            page_start = 0
            if part * TILE < pages:
                before = i < r
                seqs = tl.load(num_tokens + i, mask=before, other=0)
                seqs -= tl.load(num_rejected + i, mask=before, other=0)
                page_start = tl.sum((seqs + PAGE - 1) // PAGE)
            target = page_table + r.to(tl.int64) * columns
            for at in range(part * TILE, columns, SPLIT * TILE):
                c = at + tl.arange(0, TILE)
                has = c < pages
                page_id = tl.load(source + c, mask=has, other=0)
                tl.store(target + c, page_id, mask=c < columns)
                tl.store(kv_page_indices + page_start + c, page_id, mask=has)
    else:
        t = (pid - row_programs - page_programs) * TAIL + tl.arange(0, TAIL)
        alive = i < live
        lens = tl.load(query_len + i, mask=alive, other=0)
        total = tl.sum(lens)
        if tl.max(t) >= total:
            seqs = tl.load(num_tokens + i, mask=alive, other=0)
            seqs -= tl.load(num_rejected + i, mask=alive, other=0)
            window_total = tl.sum(window_sum(seqs - lens, lens, W))
            padded = tl.load(graph_tokens)
            behind = t >= total
            tl.store(
                window_indptr + t, tl.zeros_like(t) + window_total, mask=behind & (t <= tokens)
            )
            behind = behind & (t < tokens)
            tl.store(positions + t, tl.zeros_like(t).to(tl.int64), mask=behind)
            tl.store(slot_mapping + t, tl.full((TAIL,), -1, tl.int64), mask=behind)
            lane = tl.arange(0, W2)[None, :]
            ring = tl.full((TAIL, W2), -1, tl.int32)
            pads = (behind & (t < padded))[:, None] & (lane < W)
            tl.store(window_ring + t[:, None] * W + lane, ring, mask=pads)


def paged_decode(
    inputs: Mapping[str, torch.Tensor],
    out: Mapping[str, torch.Tensor],
    page: int = 16,
    window: int = 128,
    ring: int = 136,
    most: int = 8,
    rows: int | None = None,
) -> None:
    """Fill every output of ``metaplan.plans.paged_decode`` in one launch; sizes come from the buffers.

    ``most`` is the longest query; ``rows`` the requests of a program, by default 1, and 4 beyond 1024 requests.
    """
    requests, tokens = out["seq_lens"].shape[0], out["positions"].shape[0]
    columns = inputs["block_table"].shape[1]
    rows = rows or (1 if requests <= 1024 else 4)
    tile = min(1024, triton.next_power_of_2(columns))
    split = max(1, min(triton.cdiv(columns, tile), 2048 // requests))
    tail = 16
    grid = triton.cdiv(requests + 1, rows) + requests * split + triton.cdiv(tokens + 1, tail)
    paged_decode_kernel[(grid,)](
        inputs["req"],
        inputs["num_tokens"],
        inputs["num_rejected"],
        inputs["query_len"],
        inputs["table_row"],
        inputs["block_table"],
        inputs["graph_tokens"],
        out["positions"],
        out["cu_seqlens_q"],
        out["seq_lens"],
        out["slot_mapping"],
        out["page_table"],
        out["kv_page_indptr"],
        out["kv_page_indices"],
        out["last_page_len"],
        out["window_ring"],
        out["window_indptr"],
        out["window_indices"],
        requests,
        tokens,
        columns,
        PAGE=page,
        W=window,
        W2=triton.next_power_of_2(window),
        RING=ring,
        Q2=triton.next_power_of_2(most),
        REQ2=triton.next_power_of_2(requests),
        ROWS=rows,
        TILE=tile,
        SPLIT=split,
        TAIL=tail,
        num_warps=4,
    )
