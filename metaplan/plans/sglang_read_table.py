"""Page tables and slot lists of SGLang 0.5.23's unified memory pool, whose pages are virtual.

The engine has one gather with two ways to deliver it: a page table that ends with zeros, or a list of
slots for which the lengths are summed before; once for every pool of a model
(kernels/ops/kvcache/kv_read_table.py, srt/mem_cache/kv_index_translator.py). Here one launch delivers
all that the backends of a step ask for.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_pool import FULL, SWA, Pool
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def sglang_read_table(
    *, pool: Pool | None = None, ahead: int = 0, window: int = 0, lists: bool = True
) -> mp.Plan:
    """The plan of a step.

    Args:
        pool: the KV pool, a unified one.
        ahead: draft tokens that are read too.
        window: tokens that a sliding-window layer sees before its own, for a list of its slots.
        lists: the slot lists too, not the page tables alone.
    """
    kv = pool or Pool(page=64, unified=True, moved=True)

    @mp.plan
    def sglang_read_table(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context - ahead)],
        req_to_token: Annotated[i32, "row", "context", mp.between(-1, kv.slots - 1)],
    ) -> Outputs:
        req = mp.axis("req")
        reader = kv.reader()
        length = i32(seq_lens) + ahead

        def numbers(page: mp.Value) -> dict[str, mp.Value]:
            return reader.tables(req_to_token[req_pool_indices, page * kv.page])

        col = mp.dense(req, kv.pages)
        live = col.offset * kv.page < length
        outputs: Outputs = {
            table: mp.tail(mp.where(live, number, 0), 0)
            for table, number in numbers(col.offset).items()
        }
        if lists:
            entry = mp.ragged(req, length)
            pos = entry.offset
            outputs["kv_indptr"] = entry.indptr
            outputs["kv_indices"] = numbers(pos // kv.page)[FULL] * kv.page + pos % kv.page
        if lists and window:
            seen = mp.ragged(req, mp.minimum(length, window + 1))
            pos = length - seen.length + seen.offset
            outputs["window_kv_indptr"] = seen.indptr
            outputs["window_kv_indices"] = numbers(pos // kv.page)[SWA] * kv.page + pos % kv.page
        return outputs

    return sglang_read_table


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "entry": 1 << 24, "row": 4096}
    return (Shipped("sglang_read_table", lambda: sglang_read_table(window=1024), sizes),)
