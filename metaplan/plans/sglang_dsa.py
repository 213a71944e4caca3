"""DeepSeek V3.2's sparse attention, as SGLang 0.5.23 prepares it for decode, verify and draft extend.

The engine has a kernel for each of the three (kernels/ops/attention/dsa/metadata.py), around which its
backend fills lengths and copies the indexer's 2-D lengths (layers/attention/dsa_backend.py); where
index keys are pooled and that kernel is off, ten torch calls and a kernel do it. Here it is one launch.
A layer's chosen tokens are looked up in the request table: no table with a column a token is needed.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out]


def sglang_dsa(
    *,
    query: int = 1,
    counted: bool = True,
    ragged: bool = False,
    topk: int = 2048,
    pool: int = 1,
    page: int = 64,
    wide: bool = True,
    rectangle: bool = False,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a decode step (``query`` 1), of a verify, or of a draft extend.

    Args:
        query: query tokens of a request.
        counted: the lengths count the query tokens already; not so at verify.
        ragged: each request has its own number of query tokens, at most ``query``.
        topk: tokens that the indexer chooses.
        pool: index keys that are pooled; the tokens of the last, partial pool are always seen.
        page: tokens a page of the KV cache.
        wide: fill the table with a column a token too, which unfused layers read.
        rectangle: the indexer's lengths as ``[req, query]``: of all of a request's tokens the last one's.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """
    longest = max_model_len + (0 if counted else query)

    @mp.plan
    def sglang_dsa(
        seq_lens: Annotated[i64, "req", mp.between(0, max_model_len)],
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens) + (0 if counted else query)
        count: mp.Value | int = query
        tok = req
        if ragged:
            count = mp.array("extend_seq_lens", i32.KIND, "req", mp.between(0, query))
            tok = mp.ragged(req, count, most=query)
        elif query > 1:
            tok = mp.dense(req, query)
        seen = length
        if query > 1:
            seen = mp.maximum(length - count + tok.offset + 1, 0)
        pooled = seen // pool * pool
        chosen = mp.minimum(pooled, topk) + (seen - pooled)

        outputs: Outputs = dict(
            cache_seqlens=length,
            cu_seqlens_k=mp.indptr(length),
            dsa_cache_seqlens=chosen,
            dsa_cu_seqlens_k=mp.indptr(chosen),
        )
        if query > 1:
            outputs["dsa_seqlens_expanded"] = seen
        outputs["paged_mqa_ctx_lens"] = mp.on(tok, length if rectangle else seen)
        tables = {"page_table_1": 1} if wide or page == 1 else {}
        if page > 1:
            tables["real_page_table"] = page
        for name, tokens in tables.items():
            column = mp.dense(tok, -(-longest // tokens), name=f"column_{tokens}")
            live = column.offset * tokens < length
            slot = req_to_token[req_pool_indices, column.offset * tokens]
            entry = mp.where(live, slot, 0) // tokens
            outputs[name] = mp.keep(mp.on(column, entry), where=live)
        return outputs

    return sglang_dsa


def sglang_dsa_topk(
    *,
    topk: int = 2048,
    query: int = 1,
    lengths: bool = False,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a layer: the slots of the tokens that its indexer chose, -1 where there are fewer.

    Args:
        topk: tokens that the indexer chooses; rows are padded to a multiple of 4.
        query: query tokens of a request.
        lengths: count each row's tokens too; a row without any then has one, slot 0.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """

    @mp.plan
    def sglang_dsa_topk(
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
        topk_indices: Annotated[i32, "req", query, topk, mp.between(-1, max_model_len - 1)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.dense(req, query)
        column = mp.dense(tok, -(-topk // 4) * 4)
        index = mp.where(column.offset < topk, topk_indices[req, tok.offset, column.offset], -1)
        chosen = index >= 0
        slot = mp.where(chosen, req_to_token[req_pool_indices, index], -1)
        outputs: Outputs = {}
        if lengths:
            found = mp.sum(chosen, over=column)
            slot = mp.where((found == 0) & (column.offset == 0), 0, slot)
            outputs["topk_lens"] = mp.maximum(found, 1)
        return {**outputs, "page_table_1": slot}

    return sglang_dsa_topk


QUERY, MODEL_LEN, STATES = 8, 32768, 1024


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "state": STATES}

    def step(query: int, counted: bool) -> mp.Plan:
        return sglang_dsa(
            query=query, counted=counted, wide=False, max_model_len=MODEL_LEN, states=STATES
        )

    return (
        Shipped("sglang_dsa", lambda: step(1, True), sizes),
        Shipped("sglang_dsa_verify", lambda: step(QUERY, False), sizes),
        Shipped("sglang_dsa_topk", lambda: sglang_dsa_topk(query=QUERY, states=STATES), sizes),
    )
