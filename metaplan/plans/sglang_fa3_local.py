"""Local (chunked) attention of FlashAttention in a step with several query tokens, as in SGLang 0.5.23.

Every chunk that a request's query tokens touch becomes a sequence of its own, with a page table of its
own. The engine copies lengths to the host, computes some twenty arrays with NumPy, and sends three
back (srt/layers/attention/local_attention.py). Here one launch reads the lengths where they are.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_pool import FULL, SWA, Pool
from metaplan.plans.shipped import Shipped


def sglang_fa3_local(*, pool: Pool | None = None, chunk: int = 8192, most: int = 8192) -> mp.Plan:
    """The plan of a step.

    Args:
        pool: the KV pool.
        chunk: tokens of a chunk.
        most: the most query tokens of a request, of which it has at least one.
    """
    kv = pool or Pool()

    @mp.plan
    def sglang_fa3_local(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(1, kv.context)],
        query_lens: Annotated[i32, "req", mp.between(1, most)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        before = mp.expect(length - query_lens, 0, kv.context - 1)
        first = mp.minimum(chunk - before % chunk, query_lens)
        part = mp.ragged(req, 1 + mp.cdiv(query_lens - first, chunk))
        begin = (before // chunk + part.offset) * chunk
        rest = query_lens - first - chunk * (part.offset - 1)
        seen = mp.minimum(length - begin, chunk)
        col = mp.dense(part, chunk // kv.page)
        pos = begin + col.offset * kv.page
        last = mp.minimum(pos, kv.context - 1)
        slot = mp.where(pos < length, req_to_token[req_pool_indices, last], 0)
        number = kv.reader().tables(slot)[SWA if kv.moved else FULL]
        return dict(
            local_query_start_loc=mp.indptr(
                mp.where(part.offset == 0, first, mp.minimum(rest, chunk))
            ),
            local_seqused_k=seen,
            local_block_table=mp.keep(number, where=col.offset * kv.page < seen),
        )

    return sglang_fa3_local


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096}
    return (Shipped("sglang_fa3_local", lambda: sglang_fa3_local(pool=Pool(page=64)), sizes),)
