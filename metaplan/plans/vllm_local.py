"""Chunked and windowed layers, as vLLM 0.33 prepares them.

A chunked layer sees each chunk of a sequence as a request. The engine waits for the lengths, counts the
chunks with NumPy, sends four arrays to the GPU and gathers the pages there (v1/attention/backends/utils.py,
``make_local_attention_virtual_batches``); no such step is captured. A windowed layer of its ROCm backend
(v1/attention/backends/rocm_aiter_fa.py) has short block tables for decodes, in six torch kernels, and lists
of the keys that extends still see, on the host, after waiting for the lengths.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out]


def vllm_local_attention(
    *,
    chunk: int = 8192,
    page: int = 16,
    max_model_len: int = 131072,
    max_query: int = 8192,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of one KV-cache group, decodes and prompt chunks mixed.

    Args:
        chunk: tokens that see each other, a multiple of ``page``.
        page: tokens a page.
        max_model_len: the longest sequence; the block table has a column for each of its pages.
        max_query: the most query tokens of a request.
        num_pages: pages of the KV cache.
    """
    columns = -(-max_model_len // page)
    most = 1 + -(-(max_query - 1) // chunk)

    @mp.plan
    def vllm_local_attention(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        query_len = query_start_loc[req.index + 1] - query_start_loc[req]
        query_len = mp.expect(query_len, 0, max_query)
        before = mp.expect(seq_lens - query_len, 0, max_model_len)
        in_first = mp.minimum(chunk - before % chunk, query_len)
        in_last = chunk - (-seq_lens) % chunk
        virtual = mp.ragged(req, 1 + mp.cdiv(mp.maximum(query_len - in_first, 0), chunk), most=most)
        last = virtual.offset == virtual.length - 1
        further = query_len - in_first - chunk * (virtual.offset - 1)
        tokens = mp.where(virtual.offset == 0, in_first, mp.minimum(further, chunk))
        keys = mp.where(last, in_last, chunk)
        start = seq_lens - in_last - chunk * (virtual.length - 1 - virtual.offset)
        column = mp.dense(virtual, chunk // page)
        at = mp.minimum(mp.maximum(start, 0) // page + column.offset, columns - 1)
        return dict(
            cu_seqlens_q_local=mp.indptr(tokens),
            seqlens_k_local=mp.tail(keys, 0),
            block_table_local=block_table[req, at],
            num_virtual=virtual.size,
            max_query_len=mp.max(mp.max(tokens, over=virtual), over=req),
            max_seq_len=mp.max(mp.max(keys, over=virtual), over=req),
        )

    return vllm_local_attention


def vllm_window_attention(
    *,
    window: int = 4096,
    threshold: int = 1,
    sharing: bool = False,
    page: int = 16,
    max_model_len: int = 131072,
    max_query: int = 8192,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of a sliding window's layers: rows are decodes, then extends, then new prompts.

    Args:
        window: tokens that a token sees, itself among them.
        threshold: a request of at most so many query tokens is a decode.
        sharing: layers without a cache of their own read that of others, and want lists for it.
        page: tokens a page.
        max_model_len: the longest sequence; the block table has a column for each of its pages.
        max_query: the most query tokens of a request.
        num_pages: pages of the KV cache.
    """
    columns = -(-max_model_len // page)

    @mp.plan
    def vllm_window_attention(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
    ) -> Outputs:
        req = mp.axis("req")
        query_len = query_start_loc[req.index + 1] - query_start_loc[req]
        query_len = mp.expect(query_len, 0, max_query)
        before = mp.expect(seq_lens - query_len, 0, max_model_len)
        decode = query_len <= threshold
        first = mp.maximum(seq_lens - window, 0) // page
        kept = mp.dense(req, -(-window // page) + 1)
        at = mp.minimum(first + kept.offset, columns - 1)

        extends, prompts = ~decode & (before > 0), ~decode & (before == 0)
        later = mp.compact(req, ~decode)
        extend = mp.compact(req, extends)
        prompt = mp.compact(req, prompts)
        seen = mp.minimum(seq_lens, query_len + window)
        query = mp.ragged(later, mp.where(decode, 0, query_len))
        key = mp.ragged(extend, mp.where(extends, seen, 0))
        prompt_query = mp.ragged(prompt, mp.where(prompts, query_len, 0))
        outputs: Outputs = dict(
            swa_block_table=mp.keep(block_table[req, at], where=decode),
            swa_seq_lens=mp.keep(seq_lens - first * page, where=decode),
            swa_cu_seqlens=key.indptr,
            swa_seq_starts=mp.on(extend, seq_lens - seen),
            swa_token_to_batch=mp.on(key, key.row),
            later_query_start_loc=query.indptr,
            prefill_query_start_loc=prompt_query.indptr,
            num_extends=extend.size,
            num_prefills=prompt.size,
        )
        if sharing:
            outputs["later_token_to_batch"] = mp.on(query, query.row)
            outputs["later_seq_starts"] = mp.on(later, before)
        return outputs

    return vllm_window_attention


def shipped() -> tuple[Shipped, ...]:
    return (
        Shipped("vllm_local_attention", vllm_local_attention, {"req": 1024, "page": 8192}),
        Shipped(
            "vllm_window_attention",
            vllm_window_attention,
            {"req": 1024, "page": 8192, "key": 1 << 17},
        ),
    )
