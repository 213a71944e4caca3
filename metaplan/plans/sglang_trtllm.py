"""The metadata of TRT-LLM's and FlashMLA's kernels as SGLang 0.5.23 keeps it for a captured step.

For TRT-LLM MHA the engine has one fused kernel, of which one program sums all lengths and one program
copies a row; it runs for every draft step (kernels/ops/attention/trtllm_mha_graph_metadata.py). For MLA
it fills, converts and gathers apart (srt/layers/attention/trtllm_mla_backend.py, flashmla_backend.py).
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_pool import Pool
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def sglang_trtllm_mha(
    *, pool: Pool | None = None, ahead: tuple[int, ...] = (0,), query: int = 0
) -> mp.Plan:
    """The plan of a decode, verify or draft-extend step, or of all draft steps.

    Args:
        pool: the KV pool; where it is ``moved``, -1 in ``full_to_swa`` stays -1, and the slots that
            the step writes are moved too.
        ahead: how far beyond a sequence is read: 0 to decode, the draft tokens to verify them,
            (1, 2, ...) for draft steps; every one has its own lengths and tables.
        query: query tokens of every request where they have to be summed, in a draft extend.
    """
    kv = pool or Pool(page=64)

    @mp.plan
    def sglang_trtllm_mha(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        col = mp.dense(req, kv.pages)
        slot = req_to_token[req_pool_indices, col.offset * kv.page]
        tables = {"page_table": slot // kv.page}
        outputs: Outputs = {}
        if kv.moved:
            loc = mp.axis("loc")
            out_cache_loc = mp.array("out_cache_loc", i64.KIND, "loc", mp.between(-1, kv.slots - 1))
            place = mp.between(-1, kv.slots - 1)
            full_to_swa = mp.array("full_to_swa", i64.KIND, "slot", place)
            tables["swa_page_table"] = i32(full_to_swa[slot]) // kv.page
            at = out_cache_loc[loc]
            outputs["swa_out_cache_loc"] = mp.tail(mp.where(at < 0, -1, full_to_swa[at]), 0)
        for n, more in enumerate(ahead):
            step = f"_{n}" if len(ahead) > 1 else ""
            live = col.offset * kv.page < length + more
            outputs[f"cache_seqlens{step}"] = length + more
            outputs[f"cu_seqlens_k{step}"] = mp.indptr(length + more)
            for table, number in tables.items():
                outputs[f"{table}{step}"] = mp.keep(number, where=live)
        if query:
            outputs["cu_seqlens_q"] = mp.indptr(0 * length + query)
        return outputs

    return sglang_trtllm_mha


def sglang_trtllm_mla(
    *, pool: Pool | None = None, ahead: int = 0, columns: int = 0, fill: bool = False
) -> mp.Plan:
    """The plan of a decode or verify step of TRT-LLM MLA or FlashMLA.

    Args:
        pool: the KV pool.
        ahead: draft tokens that are verified.
        columns: the width of the table, 0 for the pages of the longest sequence.
        fill: -1 behind a row's pages, in a new table; one of a graph keeps what was there.
    """
    kv = pool or Pool(page=64)

    @mp.plan
    def sglang_trtllm_mla(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context - ahead)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        length = i32(seq_lens) + ahead
        col = mp.dense(req, columns or kv.pages)
        first = col.offset * kv.page
        live = first < length
        slot = req_to_token[req_pool_indices, mp.minimum(first, kv.context - 1)]
        row = mp.where(live, slot // kv.page, -1) if fill else mp.keep(slot // kv.page, where=live)
        return dict(seq_lens_k=length, block_kv_indices=row)

    return sglang_trtllm_mla


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096}
    return (
        Shipped(
            "sglang_trtllm_mha",
            lambda: sglang_trtllm_mha(pool=Pool(page=64, moved=True), ahead=(8,)),
            {"loc": 8192, **sizes},
        ),
        Shipped("sglang_trtllm_mla", lambda: sglang_trtllm_mla(ahead=8), sizes),
    )
