"""FlashInfer's slot lists, as SGLang 0.5.23 prepares them for that backend.

Its page size there is always 1 and the length of a last page too: a row lists the slot of every token.
The engine sums the lengths, copies the sums and gathers the slots; layers with a sliding window get a
list of their own, which a third gather moves to their pool after the host has waited for its length
(srt/layers/attention/flashinfer_backend.py, srt/mem_cache/kv_index_translator.py). Here one launch
makes all lists of a step.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64, u8
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def _moved(slot: mp.Value, slots: int) -> mp.Value:
    """A slot in the pool of the sliding-window layers; -1 and 0 are kept as the engine has them."""
    full_to_swa = mp.array("full_to_swa", i64.KIND, "slot", mp.between(-1, slots))
    return i32(full_to_swa[slot])


def sglang_flashinfer(
    *,
    window: int = 0,
    moved: bool = False,
    encoder: int = 0,
    drafts: int = 0,
    context: int = 131072,
    rows: int = 4096,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a decode or verify step.

    Args:
        window: tokens that a sliding-window layer sees before its own, 0 for none.
        moved: those layers have a pool of their own, to which ``full_to_swa`` leads.
        encoder: the most encoder tokens, which lie before a request's own; 0 for none.
        drafts: tokens behind each sequence that are verified in this step.
        context: the longest sequence with its encoder and draft tokens.
        rows: rows of ``req_to_token``.
        slots: slots of the KV pool.
    """

    @mp.plan
    def sglang_flashinfer(
        req_pool_indices: Annotated[i64, "req", mp.below(rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, context - encoder - drafts)],
        req_to_token: Annotated[i32, "row", "context", mp.below(slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens) + drafts
        entry = mp.ragged(req, length)
        outputs: Outputs = dict(kv_indptr=entry.indptr)
        first = 0 * length
        if encoder:
            encoder_lens = mp.array("encoder_lens", i64.KIND, "req", mp.between(0, encoder))
            first = i32(encoder_lens)
            cross = mp.ragged(req, first)
            outputs["cross_kv_indptr"] = cross.indptr
            outputs["cross_kv_indices"] = req_to_token[req_pool_indices, cross.offset]
        outputs["kv_indices"] = req_to_token[req_pool_indices, first + entry.offset]
        if drafts:
            outputs["qo_indptr"] = mp.indptr(0 * length + drafts)
        if window:
            seen = mp.ragged(req, mp.minimum(length, window + 1))
            slot = req_to_token[req_pool_indices, length - seen.length + seen.offset]
            outputs["window_kv_indptr"] = seen.indptr
            outputs["window_kv_indices"] = _moved(slot, slots) if moved else slot
        return outputs

    return sglang_flashinfer


def sglang_flashinfer_pages(
    *, page: int = 64, context: int = 131072, pages: int = 1 << 20
) -> mp.Plan:
    """The plan of a decode step whose table holds pages: slots are rebuilt from them.

    Args:
        page: tokens a page.
        context: the longest sequence.
        pages: pages of the KV pool.
    """

    @mp.plan
    def sglang_flashinfer_pages(
        seq_lens: Annotated[i64, "req", mp.between(0, context)],
        read_table: Annotated[i32, "req", "page", mp.below(pages)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        entry = mp.ragged(req, i32(seq_lens))
        pos = entry.offset
        return dict(
            kv_indptr=entry.indptr,
            kv_indices=read_table[req, pos // page] * page + pos % page,
        )

    return sglang_flashinfer_pages


def sglang_flashinfer_extend(
    *,
    window: int = 0,
    moved: bool = False,
    ragged: bool = False,
    most: int = 8192,
    context: int = 131072,
    rows: int = 4096,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a step that extends cached prefixes, by prompt chunks or decodes.

    Args:
        window, moved: as of ``sglang_flashinfer``.
        ragged: new tokens are attended to elsewhere, so that the lists end with the prefix; a window
            then also needs a mask, one byte for every pair of a new token and a listed slot.
        most: the most new tokens of a request.
        context, rows, slots: as of ``sglang_flashinfer``.
    """

    @mp.plan
    def sglang_flashinfer_extend(
        req_pool_indices: Annotated[i64, "req", mp.below(rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, context)],
        prefix_lens: Annotated[i64, "req", mp.between(0, context)],
        req_to_token: Annotated[i32, "row", "context", mp.below(slots)],
    ) -> Outputs:
        req = mp.axis("req")
        end, prefix = i32(seq_lens), i32(prefix_lens)
        tok = mp.ragged(req, mp.expect(end - prefix, 0, most))
        length = prefix if ragged else end
        entry = mp.ragged(req, length)
        outputs: Outputs = dict(
            qo_indptr=tok.indptr,
            kv_indptr=entry.indptr,
            kv_indices=req_to_token[req_pool_indices, entry.offset],
        )
        if window:
            first = mp.maximum(prefix - window, 0)
            seen = mp.ragged(req, mp.maximum(length - first, 0), most=window + most)
            slot = req_to_token[req_pool_indices, first + seen.offset]
            outputs["window_kv_indptr"] = seen.indptr
            outputs["window_kv_indices"] = _moved(slot, slots) if moved else slot
            if ragged:
                key = mp.ragged(tok, seen.length)
                outputs["window_mask"] = u8(first + key.offset >= prefix + tok.offset - window)
        return outputs

    return sglang_flashinfer_extend


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "entry": 1 << 24, "row": 4096}
    return (
        Shipped("sglang_flashinfer", lambda: sglang_flashinfer(window=1024, moved=True), sizes),
        Shipped(
            "sglang_flashinfer_pages", sglang_flashinfer_pages, {"req": 1024, "entry": 1 << 24}
        ),
        Shipped(
            "sglang_flashinfer_extend",
            lambda: sglang_flashinfer_extend(window=1024, moved=True),
            sizes,
        ),
    )
