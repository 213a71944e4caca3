"""FlashAttention's metadata to verify a tree of drafts, as SGLang 0.5.23 prepares it for a replay.

Draft tokens attend to the whole prefix, and by a row of slots each to the drafts that they may see, in
order. The engine takes some twenty operations of torch for that, a sort of every row among them; for
sliding-window layers one more kernel joins prefix and drafts into one row
(srt/layers/attention/flashattention_backend.py, kernels/ops/attention/metadata.py). Here the mask is
read once, in a first launch, and a second one sums what it has counted and joins the rows.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import boolean, i32, i64
from metaplan.plans.sglang_pool import FULL, SWA, Pool
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def sglang_fa3_tree(*, pool: Pool | None = None, drafts: int = 8, joined: bool = False) -> mp.Plan:
    """The plan of a verify step.

    ``custom_mask`` has ``drafts`` rows for each request, one for each draft; a row has a cell for every
    token of the prefix and one for every draft. Drafts from ``real_drafts`` on are padding.

    Args:
        pool: the KV pool.
        drafts: draft tokens of every request.
        joined: rows of prefix and drafts for sliding-window layers too; pages of one token then.
    """
    kv = pool or Pool(page=64)

    @mp.plan
    def sglang_fa3_tree(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context - drafts)],
        real_drafts: Annotated[i32, mp.between(0, 1 << 20)],
        custom_mask: Annotated[boolean, "mask"],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        reader = kv.reader()
        col = mp.dense(req, kv.pages)
        page = reader.tables(req_to_token[req_pool_indices, col.offset * kv.page])[FULL]

        draft = mp.dense(req, drafts)
        key = mp.dense(draft, drafts)
        mask_row = mp.indptr(drafts * (length + drafts)) + draft.offset * (length + drafts)
        cell = mp.where(draft.index < real_drafts, mask_row + length + key.offset, 0)
        seen = custom_mask[cell]
        count = mp.sum(seen, over=key)
        counted = mp.at(count, draft.index)
        place = (draft.index, mp.partition(seen, per=draft))
        outputs: Outputs = dict(
            cache_seqlens=length,
            cu_seqlens_k=mp.indptr(length),
            page_table=mp.keep(page, where=col.offset * kv.page < length),
            expand_cache_seqlens=count,
            expand_cu_seqlens_k=mp.indptr(counted),
            expand_page_table=mp.put(
                key, place, req_to_token[req_pool_indices, length + key.offset]
            ),
        )
        if joined:
            order = mp.argsort(mp.where(seen, key.offset, key.offset + drafts), over=key)
            behind = length + mp.minimum(order, drafts - 1)
            wide = mp.dense(draft, kv.context + drafts)
            at = mp.minimum(mp.maximum(wide.offset - length, 0), drafts - 1)
            slot = mp.where(
                wide.offset < length,
                req_to_token[req_pool_indices, mp.minimum(wide.offset, kv.context - 1)],
                mp.at(req_to_token[req_pool_indices, behind], draft.index * drafts + at),
            )
            outputs["swa_cache_seqlens"] = length + counted
            outputs["swa_cu_seqlens_k"] = mp.indptr(length + counted)
            outputs["swa_page_table"] = mp.keep(
                reader.tables(slot)[SWA if kv.moved else FULL],
                where=wide.offset < length + counted,
            )
        return outputs

    return sglang_fa3_tree


def sglang_fa3_tree_drafts(*, pool: Pool | None = None, topk: int = 4, steps: int = 5) -> mp.Plan:
    """The plan of all draft steps of a tree: step n has n + 1 tokens of every branch behind the prefix.

    With pages of several tokens the prefix ends at its last whole page, and a branch's tokens begin
    with the rest of it: their row has each page once.

    Args:
        pool: the KV pool.
        topk: branches of every request.
        steps: draft tokens of a branch; the last one is not attended to.
    """
    kv = pool or Pool(page=64)

    @mp.plan
    def sglang_fa3_tree_drafts(
        req_pool_indices: Annotated[i64, "req", mp.below(kv.rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, kv.context)],
        out_cache_loc: Annotated[i64, "req", topk * steps, mp.below(kv.slots)],
        req_to_token: Annotated[i32, "row", "context", mp.below(kv.slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        rest = length % kv.page
        col = mp.dense(req, kv.pages)
        slot = req_to_token[req_pool_indices, col.offset * kv.page]
        branch = mp.dense(req, topk)
        outputs: Outputs = dict(
            cache_seqlens=length - rest,
            page_table=mp.keep(slot // kv.page, where=col.offset * kv.page < length - rest),
        )
        for n in range(steps - 1):
            tok = mp.dense(branch, n + 1, name=f"tok_{n}")
            at = branch.offset * steps + tok.offset
            page = i32(out_cache_loc[req, at] // kv.page)
            if kv.page == 1:
                outputs[f"expand_page_table_{n}"] = page
                continue
            before = i32(out_cache_loc[req, mp.maximum(at - 1, 0)] // kv.page)
            first = (tok.offset == 0) | (page != before)
            row = mp.dense(branch, n + 2, name=f"row_{n}")
            place = (branch.index, mp.partition(first, per=branch))
            outputs[f"expand_page_table_{n}"] = mp.put(row, place, page, where=first)
            outputs[f"expand_cache_seqlens_{n}"] = mp.on(branch, rest + (n + 1))
        return outputs

    return sglang_fa3_tree_drafts


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "row": 4096, "mask": 1 << 30}
    window = Pool(page=1, moved=True, context=32768)
    return (
        Shipped("sglang_fa3_tree", sglang_fa3_tree, sizes),
        Shipped(
            "sglang_fa3_tree_window",
            lambda: sglang_fa3_tree(pool=window, drafts=4, joined=True),
            {**sizes, "req": 256},
        ),
        Shipped("sglang_fa3_tree_drafts", sglang_fa3_tree_drafts, {"req": 1024, "row": 4096}),
    )
