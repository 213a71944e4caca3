# pyright: basic
"""SGLang's FlashAttention backend with the few fields that a call reads, and batches for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_pool import Pool
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    moved,
    named,
    request_table,
    requests,
    served,
    translator,
    window_pool,
)

REQ, ROOM, CONTEXT, SLOTS, PAGE = 6, 9, 160, 1 << 10, 16
SERVED_PAGE, SERVED_SLOTS = 64, 1 << 20
BACKEND = "srt/layers/attention/flashattention_backend.py"
LOCAL = "srt/layers/attention/local_attention.py"


def small(page: int = PAGE, **more: Any) -> Pool:
    return Pool(page=page, context=CONTEXT, rows=ROOM, slots=SLOTS, **more)


def large(page: int = SERVED_PAGE, **more: Any) -> Pool:
    return Pool(page=page, context=SERVED, rows=ROWS, slots=SERVED_SLOTS, **more)


def reads(rng: np.random.Generator, pool: Pool) -> dict[str, Any]:
    """The tables that lead from a request to pages of ``pool``."""
    table = request_table(rng, pool.rows, pool.context, pool.page, pool.slots)
    found: dict[str, Any] = dict(req_to_token=table)
    if pool.unified:
        table[:, pool.page :: 7 * pool.page] = -1
        for name in ("full_v2p", "swa_v2p")[: 1 + pool.moved]:
            numbers = pool.slots // pool.page + 1
            found[name] = rng.integers(-1, numbers - 1, numbers)
    elif pool.moved:
        found["full_to_swa"] = moved(rng, pool.slots, pool.page)
    return found


def steps(pool: Pool, low: int = 0, idle: bool = True, **extra: Any) -> Any:
    """Batches over ``pool`` whose sequences leave room for the tokens that are read ahead.

    Without ``idle`` every one has a request: the engine looks for the longest.
    """
    most = pool.context - max(extra.get("ahead", (0,)))

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        for label, some in requests(rng, REQ, 16, most, pool.rows, low):
            inputs = {**some, **reads(rng, pool)}
            n = len(some["seq_lens"])
            if n or idle:
                yield Batch(inputs, {"req": n}, label, dict(pool=pool, **extra))

    return batches


def mode(name: str) -> Any:
    names = ("decode_or_idle", "target_verify", "draft_extend_v2")
    return named(**{f"is_{n}": (lambda own=n: own == name) for n in names})


def backend(batch: Batch, given: Tensors, **more: Any) -> Any:
    pool = batch.extra["pool"]
    reader = translator(given["req_to_token"])
    if pool.unified:
        kinds = sglang().module("srt/mem_cache/kv_loc_plan.py")
        spaces = {kinds.IdSpaceKind.FULL: "full_v2p", kinds.IdSpaceKind.SLIDING_WINDOW: "swa_v2p"}
        reader._spaces = {
            kind: kinds.IdSpace(key=name, read_v2p=given[name])
            for kind, name in spaces.items()
            if name in given
        }
    own_pool = window_pool(given["full_to_swa"]) if "full_to_swa" in given else None
    fields: dict[str, Any] = dict(
        req_to_token=given["req_to_token"],
        page_size=pool.page,
        max_num_pages=pool.pages,
        max_context_len=pool.context,
        kv_index_translator=reader,
        token_to_kv_pool=own_pool,
        use_sliding_window_kv_pool=own_pool is not None,
        fa_impl_ver=4,
        topk=1,
        speculative_num_steps=max(batch.extra.get("ahead", (0,))),
        speculative_step_id=0,
        speculative_num_draft_tokens=batch.extra.get("ahead", (0,))[0],
        is_prefill_aware_swa=False,
        local_attn_builder=None,
        _sched_meta_buf=None,
    )
    return made(sglang().module(BACKEND).FlashAttentionBackend, **{**fields, **more})


def record(batch: Batch, own: Mapping[str, torch.Tensor], step: str = "") -> Any:
    """The engine's metadata of this batch, over the buffers ``own`` that have our names."""
    n = batch.live["req"]
    fields: dict[str, Any] = dict(
        cache_seqlens_int32=own[f"cache_seqlens{step}"][:n],
        cu_seqlens_k=own[f"cu_seqlens_k{step}"][: n + 1],
        page_table=own[f"page_table{step}"][:n],
    )
    if f"swa_page_table{step}" in own:
        fields["swa_page_table"] = own[f"swa_page_table{step}"][:n]
    if "cu_seqlens_q" in own:
        fields["cu_seqlens_q"] = own["cu_seqlens_q"][: n + 1]
    if "swa_out_cache_loc" in own:
        fields["swa_out_cache_loc"] = own["swa_out_cache_loc"][:n].view(-1)
    return sglang().module(BACKEND).FlashAttentionMetadata(**fields)


def buffers(before: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The engine's own buffers: its sums begin with a 0 that no step writes."""
    return {k: torch.zeros_like(x) if k.startswith("cu_") else x.clone() for k, x in before.items()}


def upto(batch: Batch, own: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """All buffers, the sums as far as the engine writes them."""
    n = batch.live["req"] + 1
    return {k: x[:n] if k.startswith("cu_") else x for k, x in own.items()}


def local_builder(batch: Batch, device: str) -> Any:
    pool = batch.extra["pool"]
    return (
        sglang()
        .module(LOCAL)
        .LocalAttentionMetadataBuilder(
            attention_chunk_size=batch.extra["chunk"],
            page_size=pool.page,
            max_context_len=pool.context,
            device=torch.device(device),
            swa_translate=(lambda table: table) if pool.moved else None,
        )
    )


def bench(declare: Any, pool: Pool, more: Any = None, **extra: Any) -> Any:
    def at_full_size(count: int, query: int) -> tuple[Setup, Batch]:
        batch = served_steps(pool, count, query, **extra)
        inputs = {**batch.inputs, **(more(count) if more else {})}
        sizes = {"req": count, "row": pool.rows}
        return Setup(declare, sizes), Batch(inputs, batch.live, extra=batch.extra)

    return at_full_size


def served_steps(pool: Pool, count: int, query: int, **extra: Any) -> Batch:
    rng = np.random.default_rng(0)
    inputs = {**served(rng, count), **reads(rng, pool)}
    return Batch(inputs, {"req": count}, extra=dict(pool=pool, **extra))


def peer(name: str, plan: str, replaces: tuple[str, ...], theirs: Any, **given: Any) -> Peer:
    """``small`` and ``large`` are pools, ``declare`` makes the plan of one, ``batches`` its batches."""
    own, served_pool = given["small"], given["large"]
    declare, extra = given["declare"], given.get("extra", {})
    at_full = {**extra, **given.get("served", {})}
    batches = given.get("batches", lambda b: b)(
        steps(own, given.get("low", 0), given.get("idle", True), **extra)
    )
    return Peer(
        name=name,
        engine="sglang",
        plan=plan,
        replaces=replaces,
        setup=Setup(lambda: declare(own, extra), {"req": REQ}),
        batches=batches,
        theirs=theirs,
        bench=bench(
            lambda: declare(served_pool, at_full), served_pool, given.get("more"), **at_full
        ),
    )
