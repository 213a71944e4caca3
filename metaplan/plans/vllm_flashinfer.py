"""FlashInfer's page lists, as vLLM 0.33 prepares them for that backend.

The engine sums pages with NumPy, sends two arrays to the GPU and copies the page numbers there in one
more kernel (v1/attention/backends/flashinfer.py); with speculative decoding it first waits for the
lengths, because the host has only an upper bound. Here one launch reads the true lengths.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32
from metaplan.plans.engine_step import Interleave
from metaplan.plans.shipped import Shipped

MOST_TOKENS = 1 << 24


def vllm_flashinfer(
    *, page: int = 16, max_model_len: int = 131072, num_pages: int = 1 << 20
) -> mp.Plan:
    """The plan for one KV-cache group.

    Args:
        page: tokens a page.
        max_model_len: the longest sequence.
        num_pages: pages of the KV cache.
    """

    @mp.plan
    def vllm_flashinfer(
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        entry = mp.ragged(req, mp.cdiv(seq_lens, page))
        rest = seq_lens % page
        return dict(
            paged_kv_indptr=entry.indptr,
            paged_kv_indices=block_table[req, entry.offset],
            paged_kv_last_page_len=mp.where((rest == 0) & (seq_lens != 0), page, rest),
        )

    return vllm_flashinfer


def vllm_flashinfer_mixed(
    *,
    threshold: int = 1,
    interleave: Interleave | None = None,
    page: int = 16,
    max_model_len: int = 131072,
    max_query: int = 8192,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of a whole step: rows of decodes, all of one query length, then all others.

    Args:
        threshold: a request of at most so many query tokens may be a decode.
        interleave: decode context parallelism, where there is any; the others then see only what
            was there before.
        page: tokens a page.
        max_model_len: the longest sequence.
        max_query: the most query tokens of a request.
        num_pages: pages of the KV cache.
    """

    @mp.plan
    def vllm_flashinfer_mixed(
        query_start_loc: Annotated[i32, "req_fence", mp.below(MOST_TOKENS)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
        padded_tokens: Annotated[i32, mp.below(MOST_TOKENS)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        query_len = query_start_loc[req.index + 1] - query_start_loc[req]
        query_len = mp.expect(query_len, 0, max_query)
        length = seq_lens

        first = query_start_loc[1] - query_start_loc[0]
        other = (query_len != first) & (query_len != 0)
        decodes = mp.minimum(mp.min(mp.where(other, req.index, req.size), over=req), req.size)
        decodes = mp.where(first > threshold, 0, decodes)
        if threshold <= 1:
            longest = mp.max(query_len, over=req)
            decodes = mp.where(longest <= threshold, req.size, decodes)
        later = req.index >= decodes
        if interleave is not None:
            before = mp.expect(seq_lens - query_len, 0, max_model_len)
            length = interleave.local_length(mp.where(later, before, seq_lens))

        entry = mp.ragged(req, mp.cdiv(length, page))
        prefill = mp.compact(req, later)
        query = mp.ragged(prefill, mp.where(later, query_len, 0))
        block = mp.ragged(prefill, mp.where(later, mp.cdiv(length, page), 0))
        rest = length % page
        decode_tokens = mp.where(decodes < req.size, query_start_loc[decodes], padded_tokens)
        return dict(
            paged_kv_indptr=entry.indptr,
            paged_kv_indices=block_table[req, entry.offset],
            paged_kv_last_page_len=mp.where((rest == 0) & (length != 0), page, rest),
            prefill_qo_indptr=query.indptr,
            prefill_kv_indptr=block.indptr,
            num_decodes=decodes,
            num_prefills=req.size - decodes,
            num_decode_tokens=decode_tokens,
            num_prefill_tokens=padded_tokens - decode_tokens,
        )

    return vllm_flashinfer_mixed


def shipped() -> tuple[Shipped, ...]:
    interleave = Interleave(size=8, rank=3, run=16)
    return (
        Shipped("vllm_flashinfer", vllm_flashinfer, {"req": 1024, "entry": 1 << 20}),
        Shipped(
            "vllm_flashinfer_mixed",
            lambda: vllm_flashinfer_mixed(threshold=8, interleave=interleave),
            {"req": 1024, "entry": 1 << 20},
        ),
    )
