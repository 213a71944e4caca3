"""The chunks of cached prefixes that MLA attends to one after the other, as SGLang 0.5.23 cuts them.

Every chunk takes the same stretch of each request's prefix. The engine computes its lengths twice, on
the device and on the host, sums them, and gathers the slots of one chunk after the other
(srt/model_executor/forward_batch_deepseek_mha_mixin.py). Here one launch makes the lists of all
chunks, each behind the one before.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped


def sglang_prefix_chunks(
    *, most: int = 65536, context: int = 131072, rows: int = 4096, slots: int = 1 << 24
) -> mp.Plan:
    """The plan of a prefill step.

    Args:
        most: the most tokens of a request in one chunk.
        context: the longest prefix.
        rows: rows of ``req_to_token``.
        slots: slots of the KV pool.
    """

    @mp.plan
    def sglang_prefix_chunks(
        requests: Annotated[i32, mp.between(0, 1 << 16)],
        chunk_len: Annotated[i32, mp.between(1, most)],
        req_pool_indices: Annotated[i64, "request", mp.below(rows)],
        prefix_lens: Annotated[i32, "request", mp.between(0, context)],
        req_to_token: Annotated[i32, "row", "context", mp.below(slots)],
    ) -> mp.Outputs:
        chunk = mp.axis("chunk")
        part = mp.dense(chunk, "request")
        live = part.offset < requests
        start = chunk.index * chunk_len
        rest = mp.where(live, prefix_lens[part.offset] - start, 0)
        entry = mp.ragged(part, mp.minimum(mp.maximum(rest, 0), chunk_len))
        row = mp.where(live, req_pool_indices[part.offset], 0)
        return dict(
            chunk_starts=mp.keep(mp.on(part, start), where=live),
            chunk_seq_lens=mp.keep(entry.length, where=live),
            chunk_cu_seq_lens=mp.keep(
                mp.cumsum(entry.length, per=chunk) - entry.length, where=live
            ),
            chunk_num_tokens=mp.sum(entry.length, over=part),
            kv_indices=req_to_token[row, mp.expect(start + entry.offset, 0, context - 1)],
        )

    return sglang_prefix_chunks


def shipped() -> tuple[Shipped, ...]:
    sizes = {"chunk": 64, "request": 256, "entry": 1 << 21, "row": 4096}
    return (Shipped("sglang_prefix_chunks", sglang_prefix_chunks, sizes),)
