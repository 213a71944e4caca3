"""A page table that keeps every prompt whole and a window of what was generated, as in SGLang 0.5.23.

The engine waits for the longest sequence, then gathers with one program a request
(kernels/ops/attention/pa_page_table.py, srt/layers/attention/flashattention_backend.py).
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped


def sglang_prefill_window(
    *,
    window: int = 1024,
    prefill: int = 16384,
    context: int = 131072,
    rows: int = 4096,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a decode step.

    Args:
        window: generated tokens that are still seen.
        prefill: the longest prompt; the table has ``prefill + window`` columns.
        context: the longest sequence.
        rows: rows of ``req_to_token`` and of ``prefill_lens``.
        slots: slots of the KV pool.
    """

    @mp.plan
    def sglang_prefill_window(
        req_pool_indices: Annotated[i64, "req", mp.below(rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, context)],
        prefill_lens: Annotated[i32, "row", mp.between(0, prefill)],
        req_to_token: Annotated[i32, "row", "context", mp.below(slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        col = mp.dense(req, min(prefill + window, context))
        length = i32(seq_lens)
        prompt = prefill_lens[req_pool_indices]
        gap = mp.maximum(length - window - prompt, 0)
        kept = length - gap
        pos = mp.where(col.offset < prompt, col.offset, col.offset + gap)
        slot = req_to_token[req_pool_indices, mp.minimum(pos, context - 1)]
        return dict(cache_seqlens=kept, page_table=mp.keep(slot, where=col.offset < kept))

    return sglang_prefill_window


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096}
    return (Shipped("sglang_prefill_window", sglang_prefill_window, sizes),)
