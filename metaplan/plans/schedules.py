"""The schedules of attention kernels, computed where the lengths are: on the GPU.

DeepGEMM's paged MQA logits (get_paged_mqa_logits_metadata; SGLang 0.5.23's
kernels/jit/csrc/deepseek_v4/paged_mqa_metadata.cuh, vLLM 0.33's models/step5/nvidia/ops/sparse_indexer.py) and FlashInfer
0.7.2's decode and prefill (include/flashinfer/attention/scheduler.cuh: DecodePlan, PrefillPlan) each split the keys of a batch
over the processors. The first is a kernel of one program; the others run on the host, which waits for the lengths first.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.axes import Axis
from metaplan.plans.shipped import Shipped

MOST = 131072


def _starts(
    req: Axis, segments: mp.Value, processors: int, first_more: bool
) -> tuple[Axis, mp.Value, mp.Value]:
    """Where each processor's equal share of the segments begins, and one past the last: request and segment in it."""
    sm = mp.dense(None, processors + 1, name="sm")
    total = mp.sum(segments, over=req)
    each, rest = total // processors, total % processors
    more = (
        mp.minimum(sm.index, rest) if first_more else mp.maximum(sm.index - (processors - rest), 0)
    )
    start = sm.index * each + more
    end = mp.cumsum(segments)
    before = mp.sum(mp.where(end <= mp.given(start), segments, 0), over=req)
    return sm, mp.locate(end, start), start - before


def paged_mqa_schedule(
    *,
    processors: int = 132,
    segment: int = 256,
    first_more: bool = False,
    max_model_len: int = MOST,
) -> mp.Plan:
    """Which request and which of its segments each processor starts with: int32[processors + 1, 2].

    Args:
        processors: streaming multiprocessors that share the work.
        segment: tokens of a request that are one unit of work.
        first_more: the first processors take what does not divide evenly; else the last ones do.
        max_model_len: the longest sequence.
    """

    @mp.plan
    def paged_mqa_schedule(
        context_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        segments = mp.cdiv(context_lens, segment)
        sm, request, own = _starts(req, segments, processors, first_more)
        return dict(schedule=mp.on(sm, request, own))

    return paged_mqa_schedule


def step5_indexer(
    *, processors: int = 132, region: int = 8, pages: int = 512, max_model_len: int = MOST
) -> mp.Plan:
    """All that Step-5's sparse indexer needs of a decode batch, the schedule of its logits among it.

    Args:
        processors: streaming multiprocessors that share the work.
        region: tokens that one summary stands for.
        pages: pages of summaries that a request has room for.
        max_model_len: the longest sequence.
    """

    @mp.plan
    def step5_indexer(
        slot_mapping: Annotated[i64, "req", mp.between(-1, 1 << 40)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        page = mp.dense(req, pages)
        active = slot_mapping >= 0
        position = mp.where(active, seq_lens - 1, 0)
        current = position // region
        segments = mp.cdiv(current + 1, 256)
        sm, request, own = _starts(req, segments, processors, first_more=True)
        return dict(
            active=active,
            positions=i64(position),
            current=i64(current),
            lengths=current + 1,
            topk_lengths=current,
            index_table=page.index,
            schedule=mp.on(sm, request, own),
        )

    return step5_indexer


def flashinfer_decode_split(
    *,
    grid: int = 132 * 8,
    kv_heads: int = 8,
    page: int = 16,
    lists: bool = False,
    max_model_len: int = MOST,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """How FlashInfer's decode splits key-value pages into chunks: request and chunk of each tile.

    The chunk is the smallest number of pages with which all tiles fit the grid at once; a batch that fills the grid
    by itself is not split.

    Args:
        grid: programs that the GPU holds at once: occupancy x processors.
        kv_heads: programs of one tile.
        page: tokens a page.
        lists: also the page lists of the batch, from a block table.
        max_model_len: the longest sequence.
        num_pages: pages of the KV cache.
    """
    least, fit = max(128 // page, 1), max(grid // kv_heads, 1)

    @mp.plan
    def flashinfer_decode_split(
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        pages = mp.cdiv(seq_lens, page)
        longest = mp.maximum(mp.max(pages, over=req), 1)
        fits = mp.bisect(
            least,
            longest,
            lambda size: mp.sum(mp.cdiv(pages, size), over=req) * kv_heads <= grid,
        )
        chunk = mp.where(req.size * kv_heads >= grid, longest, fits)
        tiles = mp.minimum((mp.maximum(pages, 1) - 1) // chunk + 1, fit)
        tile = mp.ragged(req, tiles)
        outputs: mp.Outputs = dict(
            request_indices=mp.tail(mp.on(tile, req.index), 0),
            kv_tile_indices=mp.tail(tile.offset, 0),
            o_indptr=tile.indptr,
            block_valid_mask=mp.tail(mp.on(tile, True), False),
            kv_chunk_size=chunk * page,
        )
        if lists:
            table = mp.array("block_table", i32.KIND, "req", "page", mp.below(num_pages))
            entry = mp.ragged(req, pages)
            rest = seq_lens % page
            outputs["paged_kv_indptr"] = entry.indptr
            outputs["paged_kv_indices"] = table[req, entry.offset]
            outputs["paged_kv_last_page_len"] = mp.where((rest == 0) & (pages > 0), page, rest)
        return outputs

    return flashinfer_decode_split


def flashinfer_prefill_split(
    *,
    grid: int = 132 * 2,
    kv_heads: int = 8,
    group: int = 4,
    page: int = 16,
    tile_rows: int = 64,
    window: int = -1,
    max_query: int = 8,
    max_model_len: int = MOST,
) -> mp.Plan:
    """How FlashInfer's prefill kernels split queries into tiles of rows, and keys into chunks, under CUDA graphs.

    A row is one head of one query token among those that share their keys.

    Args:
        grid: programs that the GPU holds at once: two for each processor.
        kv_heads: programs of one tile.
        group: query heads that share a head of keys.
        page: tokens a page.
        tile_rows: rows of a tile, which follows from the most tokens that the graph takes.
        window: key tokens to the left that are read; -1 for all.
        max_query: the most query tokens of a request.
        max_model_len: the longest sequence.
    """
    least, fit = max(128 // page, 1), max(grid // kv_heads, 1)
    reach = -(-(window + tile_rows) // page) if window >= 0 else 1 << 20

    @mp.plan
    def flashinfer_prefill_split(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        query = mp.expect(query_start_loc[req.index + 1] - query_start_loc[req], 0, max_query)
        tiles = mp.cdiv(query * group, tile_rows)
        pages = mp.maximum(mp.minimum(mp.cdiv(seq_lens, page), reach), 1)
        longest = mp.max(pages, over=req)
        size = mp.bisect(
            least,
            longest,
            lambda size: mp.sum(tiles * mp.cdiv(pages, size), over=req) <= fit,
        )
        chunks = mp.minimum((pages - 1) // size + 1, fit)
        row = mp.ragged(req, query)
        tile = mp.ragged(req, tiles)
        chunk = mp.ragged(tile, chunks)
        return dict(
            request_indices=mp.on(chunk, req.index),
            qo_tile_indices=mp.on(chunk, tile.offset),
            kv_tile_indices=chunk.offset,
            block_valid_mask=mp.tail(mp.on(chunk, True), False),
            merge_indptr=mp.indptr(chunks + 0 * row.offset),
            o_indptr=mp.indptr(query * chunks),
            kv_chunk_size=size * page,
            total_num_rows=mp.sum(query, over=req),
        )

    return flashinfer_prefill_split


def shipped() -> tuple[Shipped, ...]:
    return (
        Shipped("paged_mqa_schedule", paged_mqa_schedule, {"req": 1024}),
        Shipped("step5_indexer", step5_indexer, {"req": 1024}),
        Shipped(
            "flashinfer_decode_split",
            lambda: flashinfer_decode_split(lists=True),
            {"req": 1024, "tile": 2048, "page": 8192},
        ),
        Shipped(
            "flashinfer_prefill_split",
            flashinfer_prefill_split,
            {"req": 1024, "row": 8192, "tile": 1024, "chunk": 2048},
        ),
    )
