"""FlashAttention's metadata as SGLang 0.5.23 keeps it for a captured decode, verify or draft step.

One fused kernel of the engine writes lengths, their sums and one or two page tables for one draft step,
and draft steps follow each other; a draft extend is ten operations of torch where it is not fused;
chunked (local) attention is computed by the host, which waits for the lengths first
(kernels/ops/attention/metadata.py, srt/layers/attention/flashattention_backend.py and
local_attention.py). Here all metadata of a step is one launch.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_pool import FULL, SWA, Pool
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def sglang_fa3(
    *, pool: Pool | None = None, ahead: tuple[int, ...] = (0,), chunk: int = 0
) -> mp.Plan:
    """The plan of a decode or verify step, or of all draft steps.

    Args:
        pool: the KV pool.
        ahead: how far beyond a sequence is read: 0 to decode, the draft tokens to verify them,
            (1, 2, ...) for draft steps; every one has its own lengths and tables.
        chunk: tokens of a chunk of local attention, 0 for none.
    """
    kv = pool or Pool()

    @mp.plan
    def sglang_fa3(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        req_to_token: Annotated[
            i32, "row", "context", mp.between(-1 if kv.unified else 0, kv.slots - 1)
        ],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        col = mp.dense(req, kv.pages)
        reader = kv.reader()
        numbers = reader.tables(req_to_token[req_pool_indices, col.offset * kv.page])
        outputs: Outputs = {}
        for n, more in enumerate(ahead):
            step = f"_{n}" if len(ahead) > 1 else ""
            live = col.offset * kv.page < length + more
            outputs[f"cache_seqlens{step}"] = length + more
            outputs[f"cu_seqlens_k{step}"] = mp.indptr(length + more)
            for table, number in numbers.items():
                row = mp.where(live, number, 0) if kv.unified else mp.keep(number, where=live)
                outputs[f"{table}{step}"] = row
        if chunk:
            seen = (length - 1) % chunk + 1
            local = mp.dense(req, chunk // kv.page)
            first = mp.maximum(length - seen, 0) + local.offset * kv.page
            live = local.offset * kv.page < seen
            last = mp.minimum(first, kv.context - 1)
            slot = mp.where(live & (first < length), req_to_token[req_pool_indices, last], 0)
            number = reader.tables(slot)[SWA if kv.moved else FULL]
            outputs["local_query_start_loc"] = req.cuts
            outputs["local_seqused_k"] = mp.tail(seen, 0)
            outputs["local_block_table"] = mp.tail(mp.keep(number, where=live), 0)
        return outputs

    return sglang_fa3


def sglang_fa3_extend(*, pool: Pool | None = None, most: int = 8) -> mp.Plan:
    """The plan of a draft extend, whose lengths count its new tokens already.

    Args:
        pool: the KV pool.
        most: new tokens of every request, of which ``extend_lens`` says how many are its own.
    """
    kv = pool or Pool()

    @mp.plan
    def sglang_fa3_extend(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        extend_lens: Annotated[i64, "req", mp.between(0, most)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        col = mp.dense(req, kv.pages)
        reader = kv.reader()
        numbers = reader.tables(req_to_token[req_pool_indices, col.offset * kv.page])
        live = col.offset * kv.page < length
        outputs: Outputs = dict(
            cache_seqlens=length,
            cu_seqlens_k=mp.indptr(length),
            cu_seqlens_q=mp.indptr(i32(extend_lens)),
            **{table: mp.keep(number, where=live) for table, number in numbers.items()},
        )
        if kv.moved:
            out_cache_loc = mp.array("out_cache_loc", i64.KIND, "req", most, mp.below(kv.slots))
            tok = mp.dense(req, most)
            slot = out_cache_loc[req, tok.offset]
            outputs["swa_out_cache_loc"] = reader.maps[0][slot]
        return outputs

    return sglang_fa3_extend


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096}
    return (
        Shipped("sglang_fa3", lambda: sglang_fa3(pool=Pool(page=64, moved=True)), sizes),
        Shipped("sglang_fa3_chunked", lambda: sglang_fa3(pool=Pool(page=64), chunk=8192), sizes),
        Shipped(
            "sglang_fa3_extend",
            lambda: sglang_fa3_extend(pool=Pool(page=64, moved=True)),
            sizes,
        ),
    )
