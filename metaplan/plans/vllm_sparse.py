"""Window lists and compressed slots of DeepSeek's sparse attention, as vLLM 0.33 builds them for decode.

The formulas restate that engine's v1/attention/backends/mla/sparse_swa.py and compressor_utils.py,
models/deepseek_v4/sparse_mla.py and models/deepseek_v41/amd/ops/swa_decode_meta.py. The engine calls a
builder for every KV-cache group, three or four launches each: 25 a step for eight groups of windows.
Here all groups are one launch, and a token finds its request once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis, Ragged
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


@dataclass(frozen=True, slots=True)
class Window:
    """A KV-cache group of which a token reads the last ``reach`` tokens; ``page`` tokens a page.

    ``block``: draft tokens of a request that all see each other (DSpark); 0 for causal windows.
    ``packed``: the lists without gaps too, one behind the other.
    """

    page: int = 64
    reach: int = 128
    block: int = 0
    packed: bool = False

    @property
    def width(self) -> int:
        """Columns of a list; those of a block are filled up to whole 64."""
        return -(-(self.reach + self.block) // 64) * 64 if self.block else self.reach


@dataclass(frozen=True, slots=True)
class Compressed:
    """A KV-cache group that keeps one state for ``ratio`` tokens; ``page`` tokens a page.

    ``listed``: layers that read all of a sequence's states want them as a list, which is short at 128
    tokens a state.
    """

    ratio: int
    page: int = 256

    @property
    def listed(self) -> bool:
        return self.ratio == 128

    @property
    def states(self) -> int:
        """States of a page."""
        return self.page // self.ratio


@dataclass(frozen=True, slots=True)
class Queries:
    """The query tokens of a step, which a graph may have padded: ``start`` is a request's first one."""

    req: Axis
    tok: Ragged
    start: mp.Value
    context: mp.Value
    padded: mp.Value

    @property
    def pos(self) -> mp.Value:
        """The place of a query token in its sequence."""
        return self.context + self.tok.offset

    @property
    def to_request(self) -> mp.Out:
        """The request of each query token; 0 for padding."""
        return mp.tail(mp.on(self.tok, self.tok.row), 0, until=self.padded)


def queries(starts: Array, seq_lens: mp.Value, padded: mp.Value, most: int) -> Queries:
    """The axes of a step whose requests have at most ``most`` query tokens, the last of their sequences."""
    req = mp.axis("req")
    start = starts[req]
    tok = mp.ragged(req, mp.expect(starts[req.index + 1] - start, 0, most))
    return Queries(req, tok, start, mp.maximum(seq_lens - tok.length, 0), padded)


def vllm_sparse_swa(
    *,
    groups: tuple[Window, ...] = (Window(),),
    query: int = 8,
    prompts: int = 0,
    replay: bool = False,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of all groups of windows: which slots each token reads, and how many.

    Args:
        groups: the groups, each with its own block table and slots.
        query: the most query tokens of a request that decodes.
        prompts: the most tokens of a prompt chunk, where the step has any; they have lists of their own.
        replay: a request's windows begin no earlier than its ``replay_start``.
        max_model_len: the longest sequence.
        num_pages: page numbers lie below.
    """

    @mp.plan
    def vllm_sparse_swa(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 24)],
    ) -> Outputs:
        asked = queries(query_start_loc, seq_lens, padded_tokens, max(query, prompts))
        req, tok = asked.req, asked.tok
        outputs: Outputs = dict(token_to_req_indices=asked.to_request)
        oldest: mp.Value | int = 0
        if replay:
            oldest = mp.array("replay_start", i32.KIND, "req", mp.between(0, max_model_len))[req]
        if not prompts:
            return outputs | list_windows(asked, groups, {"decode": tok}, oldest, num_pages)

        num_decodes = mp.array("num_decodes", i32.KIND, mp.between(0, 1 << 20))
        decodes = req.index < num_decodes
        decode = mp.ragged(req, mp.where(decodes, tok.length, 0), most=query)
        prefill = mp.ragged(req, mp.where(decodes, 0, tok.length))
        prompt = mp.compact(req, ~decodes)
        held = mp.minimum(mp.maximum(asked.context - oldest, 0), groups[0].reach - 1)
        outputs["prefill_gather_lens"] = mp.on(prompt, tok.length + held)
        parts = {"decode": decode, "prefill": prefill}
        return outputs | list_windows(asked, groups, parts, oldest, num_pages)

    return vllm_sparse_swa


def list_windows(
    asked: Queries,
    groups: tuple[Window, ...],
    parts: Mapping[str, Ragged],
    oldest: mp.Value | int,
    num_pages: int,
) -> Outputs:
    """The windows of the query tokens of each of ``parts``, none before ``oldest``, in every group."""
    req, tok, outputs = asked.req, asked.tok, Outputs()
    cells = {
        (part, width): mp.dense(axis, width, name=f"{part}_cell_{width}")
        for part, axis in parts.items()
        for width in {group.width for group in groups}
    }
    for g, group in enumerate(groups):
        slots = mp.array(f"slot_mapping_{g}", i64.KIND, "token")
        pages = mp.array(f"block_table_{g}", i32.KIND, "req", f"page_{g}", mp.below(num_pages))
        valid = slots[asked.start + tok.offset] >= 0
        outputs[f"is_valid_token_{g}"] = mp.tail(valid, False, until=asked.padded)
        for part, axis in parts.items():
            if group.block:
                first, end = asked.context - group.reach, asked.context + tok.length
            else:
                end = asked.context + axis.offset + 1
                first = end - group.reach
            first = mp.maximum(mp.maximum(first, 0), oldest)
            real = slots[asked.start + axis.offset] >= 0
            seen = mp.where(real, mp.maximum(end - first, 0), 0)

            cell = cells[part, group.width]
            key = first + cell.offset
            slot = pages[req, key // group.page] * group.page + key % group.page
            listed = mp.where(cell.offset < seen, slot, -1)
            alone = mp.tail(listed, -1, until=asked.padded) if len(parts) == 1 else listed
            outputs[f"{part}_swa_indices_{g}"] = alone
            outputs[f"{part}_swa_lens_{g}"] = mp.tail(seen, 0) if part == "decode" else seen
            if group.packed:
                entry = mp.ragged(axis, seen, most=group.width, name=f"{part}_entry_{g}")
                key = first + entry.offset
                slot = pages[req, key // group.page] * group.page + key % group.page
                outputs[f"{part}_swa_indptr_{g}"] = entry.indptr
                outputs[f"{part}_swa_packed_{g}"] = mp.tail(slot, mp.UNDEFINED)
    return outputs


def vllm_sparse_mla(
    *,
    groups: tuple[Compressed, ...] = (Compressed(4), Compressed(128)),
    query: int = 8,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of compressed groups: where a finished state is written, and which states a token reads.

    Args:
        groups: the groups, each with its own block table and slots.
        query: the most query tokens of a request.
        max_model_len: the longest sequence.
        num_pages: page numbers lie below; -1 where there is no page.
    """

    @mp.plan
    def vllm_sparse_mla(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 24)],
    ) -> Outputs:
        asked = queries(query_start_loc, seq_lens, padded_tokens, query)
        outputs: Outputs = dict(req_id_per_token=asked.to_request)
        return outputs | place_states(asked, groups, max_model_len, num_pages)

    return vllm_sparse_mla


def place_states(
    asked: Queries, groups: tuple[Compressed, ...], max_model_len: int, num_pages: int
) -> Outputs:
    """Where the query tokens write states, and the lists of those that they read."""
    req, tok, pos, outputs = asked.req, asked.tok, asked.pos, Outputs()
    for group in groups:
        ratio, states = group.ratio, group.states
        slots = mp.array(f"slot_mapping_c{ratio}", i64.KIND, "token")
        there = mp.between(-1, num_pages - 1)
        pages = mp.array(f"block_table_c{ratio}", i32.KIND, "req", f"page_c{ratio}", there)
        real = slots[asked.start + tok.offset] >= 0
        state = pos // ratio
        page = mp.maximum(pages[req, state // states], 0)
        slot = i64(page) * states + i64(state % states)
        written = mp.where(real & ((pos + 1) % ratio == 0), slot, -1)
        outputs[f"compressed_slot_mapping_c{ratio}"] = mp.tail(written, -1)
        if not group.listed:
            continue
        columns = -(-max_model_len // (ratio * 128)) * 128
        width = mp.array("topk_width", i32.KIND, mp.between(0, columns))
        entry = mp.dense(tok, columns)
        known = mp.minimum((pos + 1) // ratio, width)
        page = mp.maximum(pages[req, entry.offset // states], 0)
        listed = mp.where(entry.offset < known, page * states + entry.offset % states, -1)
        outputs["c128a_decode_topk_indices"] = mp.keep(listed, where=entry.offset < width)
        lens = mp.where(real, known, 0)
        outputs["c128a_decode_topk_lens"] = mp.tail(lens, 0, until=asked.padded)
    return outputs


def shipped() -> tuple[Shipped, ...]:
    eight = {f"page_{g}": 2048 for g in range(8)}
    sizes = {"req": 1024, "tok": 8192, "token": 8192}
    windows = lambda: vllm_sparse_swa(groups=(Window(),) * 8)  # noqa: E731
    compressed = {"page_c4": 512, "page_c128": 512}
    return (
        Shipped("vllm_sparse_swa", windows, {**sizes, **eight}),
        Shipped("vllm_sparse_mla", vllm_sparse_mla, {**sizes, **compressed}),
    )
