"""MiniMax's sparse attention, as SGLang 0.5.23 refreshes its decode plan for indexer and attention.

Restates kernels/ops/attention/msa_v1/decode_plan.py, where one program writes every length while the
others copy pages; here the lengths are spread over programs too.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

PAGE, CHUNK, TOPK = 128, 16, 16


def sglang_msa(
    *,
    query: int = 1,
    counted: bool = True,
    heads: int = 0,
    pages: int = 1024,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a decode step, or of a verify.

    Args:
        query: query tokens of a request; the indexer takes 16 at a time.
        counted: the lengths count the query tokens already; not so at verify.
        heads: KV heads of the FP8 attention, which reads its lengths once a head; 0 for none.
        pages: columns of the page table, all of which are filled.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """
    chunks = -(-query // CHUNK)

    @mp.plan
    def sglang_msa(
        seq_lens: Annotated[i64, "req", mp.between(0, max_model_len)],
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        tok = mp.dense(req, query)
        column = mp.dense(req, pages)

        def final(of: mp.Value) -> mp.Value:
            return i32(of) + (0 if counted else query)

        def seen(last: mp.Value, place: mp.Value) -> mp.Value:
            return mp.maximum(last - (query - 1) + place, 0)

        outputs: dict[str, mp.Value | mp.Out] = dict(
            page_table=req_to_token[req_pool_indices, column.offset * PAGE] // PAGE,
            final_seq_lens=final(seq_lens),
            query_seq_lens=seen(final(seq_lens), tok.offset),
        )
        for chunk in range(chunks):
            behind = max(query - CHUNK * (chunk + 1), 0)
            outputs[f"chunk_seq_lens_{chunk}"] = final(seq_lens) - behind
        if heads:
            head = mp.dense(None, heads)
            cell = mp.dense(head, "query_rows", name="cell")
            of = cell.offset // query
            live = of < req.size
            length = seen(final(mp.where(live, seq_lens[of], 0)), cell.offset % query)
            skipped = mp.maximum((length - 1) // PAGE - (TOPK - 1), 0)
            sparse = mp.maximum(length - skipped * PAGE, 1)
            outputs["flashinfer_seq_lens"] = mp.keep(sparse, where=live)
        return outputs

    return sglang_msa


def shipped() -> tuple[Shipped, ...]:
    return (
        Shipped(
            "sglang_msa",
            lambda: sglang_msa(query=8, counted=False, heads=4, states=1024),
            {"req": 1024, "state": 1024, "query_rows": 8192},
        ),
    )
