# pyright: basic
"""SGLang's FlashAttention backend with the few fields that a call of its methods reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tests.peers.engines import sglang
from tests.peers.peer import Batch, Tensors
from tests.peers.sglang_parts import made, translator, window_pool

BACKEND = "srt/layers/attention/flashattention_backend.py"
LOCAL = "srt/layers/attention/local_attention.py"


def backend(batch: Batch, given: Tensors, **more: Any) -> Any:
    pool = batch.extra["pool"]
    own_pool = window_pool(given["full_to_swa"]) if "full_to_swa" in given else None
    fields: dict[str, Any] = dict(
        req_to_token=given["req_to_token"],
        page_size=pool.page,
        max_num_pages=pool.pages,
        max_context_len=pool.context,
        kv_index_translator=translator(given["req_to_token"], given),
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
