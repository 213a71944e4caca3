"""Decode over a paged KV cache: one plan for slots, page lists and both forms of a sliding window."""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped


def paged_decode(
    *,
    page: int = 16,
    window: int = 128,
    ring: int = 136,
    most: int = 8,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
    table_rows: int = 1 << 20,
) -> mp.Plan:
    """The plan for one KV-cache layout.

    Args:
        page: tokens a page.
        window: tokens that a sliding-window layer sees.
        ring: slots of the window's ring buffer; at least window + draft tokens.
        most: query tokens of a request in one step: 1 + draft tokens.
        max_model_len: the longest sequence.
        num_pages: pages of the KV cache.
        table_rows: rows of the persistent block table.
    """

    @mp.plan
    def paged_decode(
        num_tokens: Annotated[i32, "req", mp.between(0, max_model_len)],
        num_rejected: Annotated[i32, "req", mp.between(0, most)],
        query_len: Annotated[i32, "req", mp.between(0, most)],
        table_row: Annotated[i32, "req", mp.below(table_rows)],
        block_table: Annotated[i32, "row", "page_col", mp.below(num_pages)],
        graph_tokens: Annotated[i32, mp.between(0, 1 << 20)],
    ) -> dict[str, mp.Value | mp.Out]:
        req = mp.axis("req")
        tok = mp.ragged(req, query_len, most=most)
        seq_len = mp.expect(num_tokens - num_rejected, 0, max_model_len)
        pos = mp.expect(seq_len - query_len + tok.offset, 0, max_model_len - 1)
        slot = block_table[table_row, pos // page] * page + pos % page

        pages = mp.ragged(req, mp.cdiv(seq_len, page), name="page")
        col = mp.dense(req, "page_col", name="col")
        row = mp.where(col.offset < pages.length, block_table[table_row, col.offset], 0)

        seen = mp.minimum(pos + 1, window)
        win = mp.ragged(tok, seen)
        key = pos + 1 - seen + win.offset
        lane = mp.dense(tok, window, name="lane")
        cell = mp.where(lane.offset < seen, (pos - seen + 1 + lane.offset) % ring, -1)
        return dict(
            positions=mp.tail(i64(pos), 0),
            cu_seqlens_q=tok.indptr,
            seq_lens=mp.tail(seq_len, 0),
            slot_mapping=mp.tail(i64(slot), -1),
            page_table=row,
            kv_page_indptr=pages.indptr,
            kv_page_indices=mp.tail(block_table[table_row, pages.offset], mp.UNDEFINED),
            last_page_len=mp.tail(mp.where(seq_len > 0, (seq_len - 1) % page + 1, 0), 0),
            window_ring=mp.tail(cell, -1, until=graph_tokens),
            window_indptr=win.indptr,
            window_indices=mp.tail(
                block_table[table_row, key // page] * page + key % page, mp.UNDEFINED
            ),
        )

    return paged_decode


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "tok": 8192, "row": 1024}
    return (Shipped("paged_decode", lambda: paged_decode(table_rows=1024), sizes),)
