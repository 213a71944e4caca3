"""What vLLM 0.33 does between its request tables and the FlashAttention or Triton backend, in one launch.

The runner's kernels give positions, lengths, block tables and slots (v1/worker/gpu/input_batch.py,
block_table.py), the metadata of all backends is made of them (attn_utils.py, v1/worker/utils.py), and each
backend's ``build`` adds its own (v1/attention/backends/flash_attn.py, triton_attn.py): context lengths on a
rank in a dozen torch kernels, image spans in loops over requests on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis, Ragged
from metaplan.plans.engine_step import Interleave
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out]
MOST_TOKENS = 1 << 24


@dataclass(frozen=True, slots=True)
class Cache:
    """A KV-cache group and the requests that it serves.

    ``page`` tokens a page; ``kernel_page`` where the attention kernel's pages are parts of them;
    sequences of ``max_model_len`` tokens, ``max_query`` of them in one step.
    """

    page: int = 16
    kernel_page: int = 0
    max_model_len: int = 131072
    max_query: int = 8192
    num_pages: int = 1 << 20
    states: int = 1 << 20


@dataclass(frozen=True, slots=True)
class _Step:
    """What every backend is given, and the axes and values that it is made of."""

    req: Axis
    padded: Axis
    tok: Ragged
    query_len: mp.Value
    before: mp.Value
    outputs: Outputs


def vllm_flash_attention(
    cache: Cache = Cache(),
    *,
    interleave: Interleave | None = None,
    spans: int = 0,
    prefixes: bool = False,
) -> mp.Plan:
    """The plan of one KV-cache group: ``req`` requests in a graph of ``padded`` rows.

    Args:
        cache: sizes.
        interleave: decode context parallelism, where there is any.
        spans: the most image spans of a prompt; within one a token sees those behind it too.
        prefixes: prompts stay visible outside of the sliding window.
    """

    @mp.plan
    def vllm_flash_attention(
        idx_mapping: Annotated[i64, "req", mp.below(cache.states)],
        query_start_loc: Annotated[i32, "req_fence", mp.below(MOST_TOKENS)],
    ) -> Outputs:
        step = _step(cache, interleave, idx_mapping, query_start_loc)
        req, padded, before = step.req, step.padded, step.before
        outputs = step.outputs
        if interleave is not None:
            seq_len = before + step.query_len
            outputs["dcp_local_seq_lens"] = mp.tail(interleave.local_length(seq_len), 0)
            outputs["dcp_context_kv_lens"] = mp.tail(interleave.local_length(before), 0)

            # Rows are decodes, then extends, then new prompts; a step of decodes has no regions.
            padded_tokens = mp.array("padded_tokens", i32.KIND, mp.below(MOST_TOKENS))
            longer = step.query_len > 1
            new = longer & (before == 0)
            decodes = mp.min(mp.where(longer, req.index, req.size), over=req)
            prompt = mp.min(mp.where(new, req.index, req.size), over=req)
            decodes, prompt = mp.minimum(decodes, req.size), mp.minimum(prompt, req.size)
            mixed, prompts = mp.any(longer, over=req), mp.any(new, over=req)
            extends = mp.where(prompts, prompt, padded.size) - decodes
            decode_tokens = query_start_loc[decodes]
            end = mp.where(prompts, query_start_loc[prompt], padded_tokens)
            outputs |= dict(
                num_decode_reqs=mp.where(mixed, decodes, 0),
                num_prefill_reqs=mp.where(mixed, extends, 0),
                num_decode_tokens=mp.where(mixed, decode_tokens, 0),
                num_prefill_tokens=mp.where(mixed, end - decode_tokens, 0),
            )
        if spans:
            count, ends = _spans(cache, spans)
            span = mp.ragged(step.tok, count[idx_mapping], most=spans)
            start, end = (ends[idx_mapping, span.offset, side] for side in (0, 1))
            pos = before + step.tok.offset
            inside = (start < end) & (start <= pos) & (pos <= end)
            pair = [mp.max(mp.where(inside, x, -1), over=span) for x in (start, end)]
            record = mp.on(step.tok, *[mp.maximum(x, -1) for x in pair])
            outputs["mm_prefix_query_range"] = record
        if prefixes:
            outputs["rswa_prefix_lens"] = _prompt_len(cache)[idx_mapping]
        return outputs

    return vllm_flash_attention


def vllm_triton_attention(
    cache: Cache = Cache(), *, spans: int = 0, prefixes: bool = False
) -> mp.Plan:
    """The plan of one KV-cache group: ``req`` requests in a graph of ``padded`` rows.

    Args:
        cache: sizes.
        spans: the most image spans of a prompt; within one a token sees those behind it too.
        prefixes: prompts stay visible outside of the sliding window.
    """

    @mp.plan
    def vllm_triton_attention(
        idx_mapping: Annotated[i64, "req", mp.below(cache.states)],
        query_start_loc: Annotated[i32, "req_fence", mp.below(MOST_TOKENS)],
    ) -> Outputs:
        step = _step(cache, None, idx_mapping, query_start_loc)
        outputs = step.outputs
        if spans:
            count, ends = _spans(cache, spans)
            span = mp.dense(step.req, spans)
            known = span.offset < count[idx_mapping]
            pair = [mp.where(known, ends[idx_mapping, span.offset, side], 0) for side in (0, 1)]
            record = mp.on(span, *pair)
            outputs["mm_prefix_range"] = mp.tail(record, 0, until=step.padded.size)
        if prefixes:
            outputs["rswa_prefix_lens"] = _prompt_len(cache)[idx_mapping]
        return outputs

    return vllm_triton_attention


def _step(cache: Cache, interleave: Interleave | None, idx_mapping: Array, fences: Array) -> _Step:
    states = (i32.KIND, "state")
    num_computed = mp.array("num_computed_tokens", *states, mp.between(0, cache.max_model_len))
    block_table = mp.array("block_table", *states, "page", mp.below(cache.num_pages))
    num_blocks = mp.array("num_blocks", *states, mp.below(1 << 20))
    req, padded = mp.axis("req"), mp.axis("padded")
    query_len = mp.expect(fences[req.index + 1] - fences[req], 0, cache.max_query)
    tok = mp.ragged(req, query_len)
    before = num_computed[idx_mapping]
    pos = before + tok.offset

    real = padded.index < req.size
    state = mp.where(real, idx_mapping[padded.index], 0)
    col = mp.dense(padded, "page")
    held = ~real | (col.offset < num_blocks[state])
    entry = mp.where(real, block_table[state, col.offset], 0)

    owned, place = (None, pos) if interleave is None else interleave.place(pos, cache.page)
    block = i64(block_table[idx_mapping, place // cache.page])
    slot = block * cache.page + i64(place % cache.page)
    outputs: Outputs = dict(
        positions=i64(pos),
        seq_lens=mp.tail(before + query_len, 0),
        input_block_table=mp.keep(entry, where=held),
        slot_mapping=mp.tail(slot if owned is None else mp.where(owned, slot, -1), -1),
    )
    if cache.kernel_page:
        parts = cache.page // cache.kernel_page
        part = mp.dense(padded, "kernel_block")
        whole = part.offset // parts
        held = ~real | (whole < num_blocks[state])
        entry = mp.where(real, block_table[state, whole], 0)
        outputs["kernel_block_table"] = mp.keep(entry * parts + part.offset % parts, where=held)
    return _Step(req, padded, tok, query_len, before, outputs)


def _spans(cache: Cache, most: int) -> tuple[Array, Array]:
    """How many image spans each prompt has, and their first and last positions."""
    count = mp.array("num_mm_spans", i32.KIND, "state", mp.between(0, most))
    inside = mp.between(0, cache.max_model_len)
    return count, mp.array("mm_spans", i32.KIND, "state", most, 2, inside)


def _prompt_len(cache: Cache) -> Array:
    return mp.array("prompt_len", i32.KIND, "state", mp.between(0, cache.max_model_len))


STATES = 1024


def shipped() -> tuple[Shipped, ...]:
    cache = Cache(max_query=8, states=STATES)
    interleave = Interleave(size=8, rank=3, run=16)
    sizes = {"req": 1024, "padded": 1024, "state": STATES}
    return (
        Shipped(
            "vllm_flash_attention",
            lambda: vllm_flash_attention(cache, interleave=interleave),
            {**sizes, "page": 1024},
        ),
        Shipped(
            "vllm_triton_attention",
            lambda: vllm_triton_attention(cache, spans=8, prefixes=True),
            {**sizes, "page": 8192},
        ),
    )
