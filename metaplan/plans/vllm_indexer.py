"""What vLLM 0.33 gives the indexers of sparse attention at decode: DeepSeek's, and Qwen's QSA.

The formulas restate that engine's v1/attention/backends/mla/indexer.py, v1/attention/ops/metadata.py and
models/qwen4_exp/common/qsa_cache.py. For tokens of varying number the former runs some seventeen
operations; QSA has one kernel already, for each of its two caches.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped
from metaplan.plans.vllm_sparse import Queries, queries

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def vllm_indexer(
    *,
    query: int = 8,
    ratio: int = 1,
    page: int = 64,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of DeepSeek's indexer with a row for each query token: its keys, and its pages.

    Args:
        query: the most query tokens of a request.
        ratio: tokens that share one key.
        page: keys a page.
        max_model_len: the longest sequence.
        num_pages: page numbers lie below.
    """

    @mp.plan
    def vllm_indexer(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 24)],
    ) -> Outputs:
        asked = queries(query_start_loc, seq_lens, padded_tokens, query)
        return see_keys(asked, ratio, page, num_pages)

    return vllm_indexer


def see_keys(asked: Queries, ratio: int, page: int, num_pages: int, suffix: str = "") -> Outputs:
    """What the indexer reads for each query token, and where finished keys are written."""
    req, tok, pos = asked.req, asked.tok, asked.pos
    width = f"page{suffix}"
    pages = mp.array(f"block_table{suffix}", i32.KIND, "req", width, mp.below(num_pages))
    column = mp.dense(tok, width)
    row = pages[req, column.offset]
    outputs: Outputs = dict(
        per_req_decode_lens=tok.length,
        decode_seq_lens=mp.tail((pos + 1) // ratio, 0),
        expanded_block_table=mp.tail(row, 0, until=asked.padded),
        decode_lens=mp.tail(mp.on(tok, 1), 1, until=asked.padded),
        decode_indices=mp.tail(
            mp.on(tok, tok.row),
            mp.minimum(tok.index, 1 << 24) - tok.size + req.size,
            until=asked.padded,
        ),
    )
    if ratio > 1:
        slots = mp.array(f"slot_mapping{suffix}", i64.KIND, "token")
        slot = i64(pages[req, pos // ratio // page]) * page + i64(pos // ratio % page)
        closes = (slots[asked.start + tok.offset] >= 0) & ((pos + 1) % ratio == 0)
        outputs["compressed_slot_mapping"] = mp.tail(mp.where(closes, slot, -1), -1)
    return outputs


def vllm_indexer_native(
    *,
    query: int = 8,
    ratio: int = 1,
    page: int = 64,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of DeepSeek's indexer where its kernel takes the tokens of a request together.

    Args:
        query: query tokens of a request; the last ones are real, where it has fewer.
        ratio: tokens that share one key.
        page: keys a page.
        max_model_len: the longest sequence.
        num_pages: page numbers lie below.
    """

    @mp.plan
    def vllm_indexer_native(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> Outputs:
        req = mp.axis("req")
        start = query_start_loc[req]
        query_len = mp.expect(query_start_loc[req.index + 1] - start, 0, query)
        ask = mp.dense(req, query)
        seen = mp.maximum(seq_lens - query + 1 + ask.offset, 0)
        outputs: Outputs = dict(
            per_req_decode_lens=query_len,
            decode_lens=query_len,
            decode_seq_lens=seen // ratio,
        )
        if ratio > 1:
            tok = mp.ragged(req, query_len)
            pos = mp.maximum(seq_lens - query_len, 0) + tok.offset
            slots = mp.array("slot_mapping", i64.KIND, "token")
            pages = mp.array("block_table", i32.KIND, "req", "page", mp.below(num_pages))
            slot = i64(pages[req, pos // ratio // page]) * page + i64(pos // ratio % page)
            closes = (slots[start + tok.offset] >= 0) & ((pos + 1) % ratio == 0)
            outputs["compressed_slot_mapping"] = mp.tail(mp.where(closes, slot, -1), -1)
        return outputs

    return vllm_indexer_native


def vllm_qsa(
    *,
    query: int = 8,
    ratio: int = 16,
    page: int = 64,
    ring: int = 32,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of QSA's two caches: a ring of raw keys, and one key for every ``ratio`` tokens.

    Args:
        query: the most query tokens of a request.
        ratio: tokens that share one compressed key.
        page: compressed keys a page.
        ring: raw keys that a request keeps.
        max_model_len: the longest sequence.
        num_pages: page numbers lie below; page 0 is nobody's.
    """

    @mp.plan
    def vllm_qsa(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        slot_mapping: Annotated[i64, "token"],
        ring_table: Annotated[i32, "req", "ring", mp.below(num_pages)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 24)],
    ) -> Outputs:
        req = mp.axis("req")
        count = query_start_loc[req.index + 1] - query_start_loc[req]
        tok = mp.ragged(req, mp.expect(count, 0, query))
        context = mp.maximum(seq_lens - tok.length, 0)
        pos = context + tok.offset
        groups = seq_lens // ratio - context // ratio
        work = mp.ragged(
            req, mp.where(tok.length > 0, mp.maximum(groups, 1), 0), most=query // ratio + 1
        )

        block = ring_table[req, 0]
        kept = (block > 0) & (tok.offset + ring >= tok.length)
        raw = mp.where(kept, i64(block) * ring + i64(pos % ring), -1)
        real = slot_mapping[query_start_loc[req] + tok.offset] >= 0
        key = pos // ratio
        slot = i64(block_table[req, key // page]) * page + i64(key % page)
        compressed = mp.where(real & ((pos + 1) % ratio == 0), slot, -1)
        items = padded_tokens + (ratio - 1) * req.size
        return dict(
            token_to_req=mp.tail(mp.on(tok, tok.row), 0, until=padded_tokens),
            logical_positions=mp.tail(i64(pos), -1, until=padded_tokens),
            ring_visible=mp.tail(pos + 1, 0, until=padded_tokens),
            ring_slot_mapping=mp.tail(raw, -1, until=padded_tokens),
            visible_blocks=mp.tail((pos + 1) // ratio, 0, until=padded_tokens),
            key_slot_mapping=mp.tail(compressed, -1, until=padded_tokens),
            k_work_metadata=mp.tail(mp.on(work, work.row, work.offset), -1, until=items // ratio),
        )

    return vllm_qsa


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "tok": 8192, "token": 8192}
    return (
        Shipped("vllm_indexer", vllm_indexer, {"req": 1024, "tok": 8192, "page": 2048}),
        Shipped(
            "vllm_indexer_native",
            lambda: vllm_indexer_native(ratio=4),
            {**sizes, "page": 512},
        ),
        Shipped("vllm_qsa", vllm_qsa, {**sizes, "page": 128, "ring": 1}),
    )
