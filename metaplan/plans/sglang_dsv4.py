"""DeepSeek-V4 and V4.1: what SGLang 0.5.23's backend records in front of a decode, a verify or a draft extend.

The engine chains three kernels for tokens, pages and windows, one for the compressed caches, one for
each cache that is read whole, and a dozen torch calls for bounds, fills, copies and translations
(layers/attention/deepseek_v4_backend.py; kernels in kernels/ops/attention/dsv4). Here it is one launch.
The schedules of compiled indexers and compressors are not among it.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out]
LANES, TILE, INDEX_PAGE = 64, 64, 64


def wide(columns: int) -> int:
    """Columns of a table whose rows are padded for its reader."""
    return -(-columns // LANES) * LANES


def sglang_dsv4(
    *,
    ratios: tuple[int, ...] = (4, 128),
    query: int = 1,
    counted: bool = True,
    most: int = 0,
    read_whole: bool = False,
    tiles: bool = False,
    page: int = 256,
    window: int = 128,
    topk: int = 512,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a step; its rows are query tokens.

    Args:
        ratios: tokens of an entry in each compressed cache, of 1, 2, 4 and 128; none at draft extend.
        query: query tokens of a request.
        counted: the lengths count the query tokens already; not so at verify.
        most: at a verify where each request has its own number of query tokens, the most that one has.
        read_whole: no context is longer than the indexer's choice: the tables of ratios 1 and 2
            hold every entry.
        tiles: also what TRT-LLM's kernels read: a window and the compressed entries behind it in
            one table, and inert rows up to whole tiles.
        page: tokens a page of the KV cache.
        window: tokens that a sliding-window layer sees.
        topk: entries that the indexer chooses.
        max_model_len: the longest sequence, and the width of the request table.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """
    pages = -(-(max_model_len + (0 if counted else max(query, most))) // page)

    @mp.plan
    def sglang_dsv4(
        seq_lens: Annotated[i64, "req", mp.between(0, max_model_len)],
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
        full_to_swa: Annotated[i64, "slot", mp.between(-1, slots - 1)],
    ) -> Outputs:
        req = mp.axis("req")
        tok, each, ahead, before = req, 1, 0, i32(seq_lens)
        if most:
            tok = mp.ragged(
                req, mp.array("verify_lens", i32.KIND, "req", mp.between(0, most)), most=most
            )
            ahead = tok.offset
        elif query > 1:
            tok, each = mp.dense(req, query, name="tok"), query
            ahead = tok.offset
        length = before + (1 - query if counted else 1) + ahead
        if tiles and not ratios:
            length = mp.maximum(length, 1)
        dims = ("tok",) if most else ("req", query) if query > 1 else ("req",)
        out_cache_loc = mp.array("out_cache_loc", i64.KIND, *dims, mp.below(slots))
        loc = out_cache_loc[req, tok.offset] if each > 1 else out_cache_loc

        inert = mp.cdiv(tok.size, TILE) * TILE

        def tiled(x: mp.Value | int, fill: int) -> mp.Value | mp.Out:
            on = mp.on(tok, x)
            return mp.tail(on, fill, until=mp.cdiv(inert, each)) if tiles else on

        def tiled_rows(x: mp.Value) -> mp.Value | mp.Out:
            return mp.tail(x, -1, until=inert) if tiles else x

        def page_of(column: mp.Value) -> mp.Value:
            return req_to_token[req_pool_indices, column * page] // page

        def entry(column: mp.Value, ratio: int) -> mp.Value:
            """The slot of a compressed cache's entry."""
            held = page // ratio
            return page_of(column // held) * held + column % held

        def windowed(place: mp.Value) -> mp.Value:
            back = length - 1 - place
            slot = req_to_token[req_pool_indices, mp.maximum(back, 0)]
            return mp.where((place < window) & (back >= 0), i32(full_to_swa[slot]), -1)

        lane = mp.dense(tok, wide(window), name="lane")
        swa = mp.minimum(length, window)
        outputs: Outputs = dict(
            seq_lens_casual=tiled(length, 1),
            positions_casual=mp.on(tok, length - 1),
            swa_topk_lengths=mp.on(tok, swa),
            swa_page_indices=tiled_rows(windowed(lane.offset)),
            swa_out_cache_loc=i32(full_to_swa[loc]),
        )
        if tiles:
            outputs["trtllm_swa_lens"] = tiled(window, window)
        if not ratios:
            outputs["swa_out_cache_loc"] = mp.tail(i32(full_to_swa[loc]), 0)
            return outputs
        column = mp.dense(tok, pages, name="column")
        outputs["page_table"] = page_of(column.offset)

        for ratio in ratios:
            have = length // ratio
            some = mp.maximum(have, 1)
            done = length % ratio == 0
            none = -1 if ratio < 4 else 0
            outputs[f"c{ratio}_out_loc"] = mp.where(done, loc // ratio, none)
            outputs[f"c{ratio}_topk_lengths_clamp1"] = mp.on(tok, some)
            if ratio == 4:
                outputs["c4_topk_lengths_raw"] = mp.on(tok, have)
            if ratio == 128:
                cell = mp.dense(tok, wide(pages * page // ratio), name="whole_128")
                whole = mp.where(cell.offset < have, entry(cell.offset, ratio), -1)
                outputs["c128_page_indices"] = whole
                continue
            chosen = mp.minimum(some, topk)
            if tiles and ratio < 4:
                chosen = mp.minimum(chosen, have)
            outputs[f"c{ratio}_sparse_topk_lengths"] = mp.on(tok, chosen)
            cell = mp.dense(tok, wide(topk), name=f"chosen_{ratio}")
            sparse: mp.Value | mp.Out = mp.on(cell, -1)
            if read_whole and ratio < 4:
                sparse = mp.where(cell.offset < chosen, entry(cell.offset, ratio), -1)
            outputs[f"c{ratio}_sparse_page_indices"] = sparse
            if ratio < 4:
                blocks = page // ratio // INDEX_PAGE
                block = mp.dense(tok, pages * blocks, name=f"block_{ratio}")
                found = page_of(block.offset // blocks) * blocks + block.offset % blocks
                outputs[f"c{ratio}_index_page_table"] = found
        if tiles:
            if set(ratios) & {1, 2, 4}:
                cell = mp.dense(tok, window + wide(topk), name="tiled_4")
                outputs["trtllm_c4_indices"] = tiled_rows(windowed(cell.offset))
                outputs["trtllm_c4_lens"] = tiled(window, window)
            if 128 in ratios:
                have, behind = length // 128, wide(pages * page // 128)
                cell = mp.dense(tok, window + behind, name="tiled_128")
                at = cell.offset - window
                seen = (at >= 0) & (at < have)
                both = mp.where(seen, entry(mp.maximum(at, 0), 128), windowed(cell.offset))
                outputs["trtllm_c128_indices"] = tiled_rows(both)
                lens = mp.maximum(have, 1) + window
                outputs["trtllm_c128_lens"] = tiled(lens, window)
        return outputs

    return sglang_dsv4


MODEL_LEN, STATES, SLOTS, DRAFTS = 32768, 1024, 1 << 20, 7


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "state": STATES, "slot": SLOTS}

    def verify(ratios: tuple[int, ...], read_whole: bool) -> mp.Plan:
        return sglang_dsv4(
            ratios=ratios,
            query=DRAFTS + 1,
            counted=False,
            read_whole=read_whole,
            max_model_len=MODEL_LEN,
            states=STATES,
            slots=SLOTS,
        )

    return (
        Shipped("sglang_dsv4", lambda: verify((4, 128), False), sizes),
        Shipped("sglang_dsv41", lambda: verify((1, 2), True), sizes),
    )
