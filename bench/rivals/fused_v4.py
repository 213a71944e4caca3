# pyright: basic
"""One hand-written kernel for the decode fields of ``v4_decode``: all but the compress and write plans.

Programs, in this order: per request its windows and per-token scalars; its 128:1 entries; its chosen 4:1 entries; its block
tables; then one per ``TAIL`` tokens for what lies behind the live ones. Each sums the requests before it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import triton
import triton.language as tl

from bench.rivals.geometry import CLASSES, V4


@triton.jit
def counts(ctx, lens, Q: tl.constexpr, W: tl.constexpr, TOPK: tl.constexpr):
    """Per request the lengths of all its token rows: (window, 4:1 entries, 128:1 entries)."""
    window = tl.zeros_like(ctx)
    chosen = tl.zeros_like(ctx)
    for j in tl.static_range(Q):
        seen = ctx - Q + j + 1
        window += tl.where(j < lens, tl.minimum(seen, W), 0)
        chosen += tl.where(j < lens, tl.minimum(seen // 4, TOPK), 0)
    return window, chosen, lens * (ctx // 128)


@triton.jit
def ring_row(slot, at, RINGS: tl.constexpr, C: tl.constexpr):
    """Pool row of position ``at`` for class ``C``; a ring is (size, slot rows, start, stride, run)."""
    place = at % RINGS[C][0]
    run = place // RINGS[C][3]
    return slot * RINGS[C][1] + RINGS[C][2] + run * RINGS[C][4] + place % RINGS[C][3]


@triton.jit
def v4_decode_kernel(
    req,
    graph_requests,
    ctx_sched,
    num_rejected,
    query_len,
    block_table,
    num_blocks,
    group,
    fork_src,
    topk_local,
    positions,
    cu_seqlens_q,
    context_lens,
    block_tables,
    state_slot_out,
    state_slot_in,
    batch_id_per_token,
    n_committed_csa_per_seq,
    n_committed_hca_per_seq,
    qo_indptr,
    n_committed_per_token,
    block_tables_per_token,
    kv_indptr,
    kv_indices,
    swa_dest,
    requests,
    tokens,
    columns,
    RINGS: tl.constexpr,
    Q: tl.constexpr,
    Q2: tl.constexpr,
    W: tl.constexpr,
    W2: tl.constexpr,
    TOPK: tl.constexpr,
    HAS_TOPK: tl.constexpr,
    BLOCK: tl.constexpr,
    SLOTS: tl.constexpr,
    ENVELOPE: tl.constexpr,
    REQ2: tl.constexpr,
    CHUNK: tl.constexpr,
    COLUMNS2: tl.constexpr,
    TAIL: tl.constexpr,
):
    pid = tl.program_id(0)
    window_programs = requests + 1
    live = tl.load(req)
    FAR: tl.constexpr = BLOCK // 128  # 128:1 entries of a page
    NEAR: tl.constexpr = BLOCK // 4
    if pid < window_programs + 3 * requests:
        if pid < window_programs:
            section = 0
            r = pid
        else:
            section = 1 + (pid - window_programs) // requests
            r = (pid - window_programs) % requests
        alive = r < live
        i = tl.arange(0, REQ2)
        before = i < r  # dead rows are read too, so that nothing waits for ``live``
        lens = tl.load(query_len + i, mask=before, other=0)
        ctxs = tl.load(ctx_sched + i, mask=before, other=0) - tl.load(
            num_rejected + i, mask=before, other=0
        )
        lens, ctxs = tl.where(i < live, lens, 0), tl.where(i < live, ctxs, 0)
        in_buffer = r < requests
        q = tl.load(query_len + r, mask=in_buffer, other=0)
        ctx = tl.load(ctx_sched + r, mask=in_buffer, other=0)
        ctx -= tl.load(num_rejected + r, mask=in_buffer, other=0)
        blocks = tl.load(num_blocks + r, mask=in_buffer, other=0)
        slot = SLOTS - 1 - tl.load(group + r, mask=in_buffer, other=0)
        fork = tl.load(fork_src + r, mask=in_buffer, other=0)
        token_start = tl.sum(lens)
        window, chosen, far = counts(ctxs, lens, Q, W, TOPK)
        j = tl.arange(0, Q2)
        here = (j < q) & alive
        pos = ctx - Q + j
        t = token_start + j
        n = tl.where(here, tl.minimum(pos + 1, W), 0)
        seen = (pos + 1) // 4
        k4 = tl.where(here, tl.minimum(seen, TOPK), 0)
        n128 = tl.where(here, ctx // 128, 0)
        own = j[:, None] > j[None, :]  # the tokens of this request before this one
        n_before = tl.sum(tl.where(own, n[None, :], 0), 1)
        if section == 0:
            swa = tl.sum(window) + n_before
            csa = tl.sum(window + chosen) + n_before + tl.sum(tl.where(own, k4[None, :], 0), 1)
            hca = tl.sum(window + far) + n_before + tl.sum(tl.where(own, n128[None, :], 0), 1)
            graph = tl.load(graph_requests)
            tl.store(cu_seqlens_q + r, token_start)
            tl.store(n_committed_csa_per_seq + r, tl.where(alive, ctx // 4, TOPK), mask=r < graph)
            if alive:
                tl.store(context_lens + r, ctx)
                tl.store(n_committed_hca_per_seq + r, ctx // 128)
                tl.store(state_slot_out + r, slot)
                tl.store(state_slot_in + r, tl.where(fork >= 0, SLOTS - 1 - fork, slot))
                tl.store(positions + t, pos.to(tl.int64), mask=here)
                tl.store(batch_id_per_token + t, tl.zeros_like(t) + r, mask=here)
                tl.store(qo_indptr + t, t, mask=here)
                tl.store(n_committed_per_token + t, seen, mask=here)
                tl.store(kv_indptr[0] + t, swa, mask=here)
                tl.store(kv_indptr[1] + t, csa, mask=here)
                tl.store(kv_indptr[2] + t, hca, mask=here)
                lane = tl.arange(0, W2)[None, :]
                inside = here[:, None] & (lane < n[:, None])
                at = (pos - n + 1)[:, None] + lane
                if RINGS[0] is not None:
                    tl.store(
                        kv_indices[0] + swa[:, None] + lane,
                        ring_row(slot, at, RINGS, 0),
                        mask=inside,
                    )
                    tl.store(swa_dest[0] + t, ring_row(slot, pos, RINGS, 0), mask=here)
                if RINGS[1] is not None:
                    tl.store(
                        kv_indices[1] + (csa + k4)[:, None] + lane,
                        ring_row(slot, at, RINGS, 1),
                        mask=inside,
                    )
                    tl.store(swa_dest[1] + t, ring_row(slot, pos, RINGS, 1), mask=here)
                if RINGS[2] is not None:
                    tl.store(
                        kv_indices[2] + (hca + n128)[:, None] + lane,
                        ring_row(slot, at, RINGS, 2),
                        mask=inside,
                    )
                    tl.store(swa_dest[2] + t, ring_row(slot, pos, RINGS, 2), mask=here)
        elif section == 1:
            if alive:
                hca = tl.sum(window + far) + n_before + tl.sum(tl.where(own, n128[None, :], 0), 1)
                for first in range(0, ctx // 128, CHUNK):
                    e = first + tl.arange(0, CHUNK)
                    has = e < ctx // 128
                    source = block_table + r * columns + e // FAR
                    block = tl.load(source, mask=has & (e // FAR < blocks), other=0)
                    value = (block * ENVELOPE + e % FAR)[None, :]
                    target = kv_indices[2] + hca[:, None] + e[None, :]
                    tl.store(
                        target,
                        tl.broadcast_to(value, (Q2, CHUNK)),
                        mask=here[:, None] & has[None, :],
                    )
        elif section == 2:
            if alive and HAS_TOPK:
                csa = tl.sum(window + chosen) + n_before + tl.sum(tl.where(own, k4[None, :], 0), 1)
                for first in range(0, tl.max(k4), CHUNK):
                    e = first + tl.arange(0, CHUNK)[None, :]
                    has = here[:, None] & (e < k4[:, None])
                    entry = tl.load(topk_local + t[:, None] * TOPK + e, mask=has, other=0)
                    column = tl.minimum(tl.maximum(entry // NEAR, 0), columns - 1)
                    source = block_table + r * columns + column
                    block = tl.load(source, mask=has & (column < blocks), other=0)
                    tl.store(
                        kv_indices[1] + csa[:, None] + e,
                        block * ENVELOPE + entry % NEAR,
                        mask=has,
                    )
        else:
            if alive:
                for first in range(0, columns, COLUMNS2):
                    c = first + tl.arange(0, COLUMNS2)
                    inside = c < columns
                    block = tl.load(block_table + r * columns + c, mask=c < blocks, other=0)
                    tl.store(block_tables + r * columns + c, block, mask=inside)
                    target = block_tables_per_token + t[:, None] * columns + c[None, :]
                    value = tl.broadcast_to(block[None, :], (Q2, COLUMNS2))
                    tl.store(target, value, mask=here[:, None] & inside[None, :])
    else:
        token = (pid - window_programs - 3 * requests) * TAIL + tl.arange(0, TAIL)
        rows = tl.arange(0, REQ2)
        owned = rows < live
        lens = tl.load(query_len + rows, mask=owned, other=0)
        total = tl.sum(lens)
        if tl.max(token) >= total:
            ctxs = tl.load(ctx_sched + rows, mask=owned, other=0) - tl.load(
                num_rejected + rows, mask=owned, other=0
            )
            window, chosen, far = counts(ctxs, lens, Q, W, TOPK)
            padded = tl.load(graph_requests) * Q
            none = tl.zeros_like(token)
            fence = (token >= total) & (token <= tokens)
            tl.store(kv_indptr[0] + token, none + tl.sum(window), mask=fence)
            tl.store(kv_indptr[1] + token, none + tl.sum(window + chosen), mask=fence)
            tl.store(kv_indptr[2] + token, none + tl.sum(window + far), mask=fence)
            tl.store(qo_indptr + token, none + total, mask=fence & (token <= padded))
            behind = (token >= total) & (token < padded) & (token < tokens)
            tl.store(positions + token, none.to(tl.int64), mask=behind)
            tl.store(batch_id_per_token + token, none - 1, mask=behind)
            tl.store(n_committed_per_token + token, none, mask=behind)
            for first in range(0, columns, COLUMNS2):
                c = first + tl.arange(0, COLUMNS2)[None, :]
                target = block_tables_per_token + token[:, None] * columns + c
                tl.store(
                    target,
                    tl.zeros((TAIL, COLUMNS2), tl.int32),
                    mask=behind[:, None] & (c < columns),
                )


def v4_decode(inputs: Mapping[str, torch.Tensor], out: Mapping[str, torch.Tensor], v4: V4) -> None:
    """Fill the decode fields of ``metaplan.plans.v4_decode`` in one launch: all but the compress and write plans."""
    requests, tokens = inputs["query_len"].shape[0], out["positions"].shape[0]
    columns = inputs["block_table"].shape[1]
    rings = tuple(
        None if ring is None else (ring.size, ring.slot_rows, ring.start, ring.stride, ring.run)
        for ring in v4.rings
    )
    tail = 8
    grid = requests + 1 + 3 * requests + triton.cdiv(tokens + 1, tail)
    v4_decode_kernel[(grid,)](
        inputs["req"],
        inputs["graph_requests"],
        inputs["ctx_sched"],
        inputs["num_rejected"],
        inputs["query_len"],
        inputs["block_table"],
        inputs["num_blocks"],
        inputs["group"],
        inputs["fork_src"],
        inputs.get("topk_local", inputs["query_len"]),
        out["positions"],
        out["cu_seqlens_q"],
        out["context_lens"],
        out["block_tables"],
        out["state_slot_out"],
        out["state_slot_in"],
        out["batch_id_per_token"],
        out["n_committed_csa_per_seq"],
        out["n_committed_hca_per_seq"],
        out["qo_indptr"],
        out["n_committed_per_token"],
        out["block_tables_per_token"],
        tuple(out[f"kv_indptr_{name}"] for name in CLASSES),
        tuple(out[f"kv_indices_{name}"] for name in CLASSES),
        tuple(out[f"swa_dest_{name}"] for name in CLASSES),
        requests,
        tokens,
        columns,
        RINGS=rings,
        Q=v4.queries,
        Q2=triton.next_power_of_2(v4.queries),
        W=v4.window,
        W2=triton.next_power_of_2(v4.window),
        TOPK=v4.topk,
        HAS_TOPK="topk_local" in inputs,
        BLOCK=v4.block,
        SLOTS=v4.slot_positions,
        ENVELOPE=v4.envelope_rows,
        REQ2=triton.next_power_of_2(requests),
        CHUNK=256,
        COLUMNS2=min(512, triton.next_power_of_2(columns)),
        TAIL=tail,
        num_warps=4,
    )
