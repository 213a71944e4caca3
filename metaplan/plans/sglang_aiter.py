"""The page tables and page lists of AITER's kernels as SGLang 0.5.23 prepares them on AMD GPUs.

The engine first lists the slot of every token, then makes a page table or a list of pages from that
list, the latter with the host's copy of the lengths (srt/layers/attention/aiter_backend.py,
kernels/ops/attention/aiter_unified_page_table.py). Here pages are read off the request table.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_pool import Pool
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def sglang_aiter(*, pool: Pool | None = None, drafts: int = 0, fill: bool = False) -> mp.Plan:
    """The plan of a step.

    Args:
        pool: the KV pool.
        drafts: draft tokens that are verified, 0 for another step.
        fill: 0 behind a row's pages, in new tables; those of a graph keep what was there.
    """
    kv = pool or Pool(page=16)

    @mp.plan
    def sglang_aiter(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context - drafts)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens) + drafts
        col = mp.dense(req, kv.pages)
        live = col.offset * kv.page < length
        reader = kv.reader()
        numbers = reader.tables(req_to_token[req_pool_indices, col.offset * kv.page])
        outputs: Outputs = {}
        for table, number in numbers.items():
            kept = mp.where(live, number, 0) if fill else mp.keep(number, where=live)
            outputs[table] = kept
        if drafts:
            outputs["qo_indptr"] = mp.indptr(0 * length + drafts)
        return outputs

    return sglang_aiter


def sglang_aiter_pages(*, pool: Pool | None = None) -> mp.Plan:
    """The plan of a prefill over whole pages: their list, and how full the last one is."""
    kv = pool or Pool(page=16)

    @mp.plan
    def sglang_aiter_pages(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        entry = mp.ragged(req, mp.cdiv(length, kv.page))
        return dict(
            page_indptr=entry.indptr,
            page_ids=req_to_token[req_pool_indices, entry.offset * kv.page] // kv.page,
            last_page_len=(length - 1) % kv.page + 1,
        )

    return sglang_aiter_pages


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096}
    return (
        Shipped(
            "sglang_aiter", lambda: sglang_aiter(pool=Pool(page=16, moved=True), drafts=8), sizes
        ),
        Shipped("sglang_aiter_pages", sglang_aiter_pages, {"entry": 1 << 20, **sizes}),
    )
