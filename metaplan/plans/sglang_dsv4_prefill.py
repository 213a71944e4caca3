"""DeepSeek-V4's sparse prefill: what SGLang 0.5.23 gathers into a workspace, and where its rows lie there.

For every chunk of prompts the engine runs some thirty torch calls, three kernels and two waits for
lengths (layers/attention/dsv4/sparse_prefill_utils.py, kernels/ops/attention/dsv4/sparse_prefill_kernels.py);
here it is one launch. Behind it, a launch a layer places what that layer's indexer has chosen.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out]
ALIGNED = 128


def aligned(columns: int) -> int:
    """Columns of a row of indices: compressed entries and the window behind them."""
    return -(-columns // ALIGNED) * ALIGNED


def sglang_dsv4_prefill(
    *,
    page: int = 256,
    window: int = 128,
    most: int = 8192,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of a chunk of prompts.

    The workspace of a layer without compression holds the requests' windows; of the others, first
    their compressed entries. Those of ratio 4 are packed; of ratio 128 each request has as many
    as the longest.

    Args:
        page: tokens a page of the KV cache.
        window: tokens that a token sees beside compressed ones.
        most: the most tokens of a request in one chunk.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """

    @mp.plan
    def sglang_dsv4_prefill(
        seq_lens: Annotated[i32, "req", mp.between(1, max_model_len)],
        extend_seq_lens: Annotated[i32, "req", mp.between(0, most)],
        req_pool_indices: Annotated[i32, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
        full_to_swa: Annotated[i64, "slot", mp.between(-1, slots - 1)],
        max_seq_len: Annotated[i32, mp.between(1, max_model_len)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.ragged(req, extend_seq_lens, most=most)
        begin = mp.expect(seq_lens - extend_seq_lens, 0, max_model_len)
        pos = begin + tok.offset
        seen = mp.minimum(pos + 1, window)

        first = mp.maximum(begin - (window - 1), 0)
        swa = mp.ragged(req, mp.maximum(seq_lens - first, 0))
        token = req_to_token[req_pool_indices, first + swa.offset]
        packed = mp.ragged(req, seq_lens // 4)
        whole = mp.ragged(req, mp.maximum(max_seq_len // 128, 1), most=-(-max_model_len // 128))

        def slot(entry: mp.Value, ratio: int) -> mp.Value:
            held = page // ratio
            found = req_to_token[req_pool_indices, entry // held * page] // page
            return found * held + entry % held

        def rows(columns: int, have: mp.Value | int, base: mp.Value, behind: mp.Value) -> mp.Value:
            """Of each token, where its compressed entries lie, then where its window does."""
            cell = mp.dense(tok, aligned(columns + window), name=f"cell_{columns}")
            place = cell.offset - have
            near = mp.where(place < seen, behind + (pos - seen + 1 - first) + place, -1)
            return mp.where(place < 0, base + cell.offset, near)

        entries = (pos + 1) // 128
        return dict(
            query_start_loc=tok.indptr,
            query_pos=pos,
            swa_first_pos=first,
            swa_gather_lens=swa.length,
            swa_offsets=swa.indptr,
            swa_token_ids=i32(full_to_swa[token]),
            c0_combined_indices=rows(0, 0, 0 * req.index, swa.indptr),
            c0_combined_lens=seen,
            c4_compressed_base=packed.indptr,
            c4_swa_base=packed.size + swa.indptr,
            c4_token_ids=slot(packed.offset, 4),
            c128_compressed_base=whole.indptr,
            c128_swa_base=whole.size + swa.indptr,
            c128_token_ids=mp.where(whole.offset < seq_lens // 128, slot(whole.offset, 128), 0),
            c128_combined_indices=rows(
                -(-max_model_len // 128), entries, whole.indptr, whole.size + swa.indptr
            ),
            c128_combined_lens=entries + seen,
        )

    return sglang_dsv4_prefill


def sglang_dsv4_combine(
    *,
    ratio: int = 4,
    topk: int = 512,
    window: int = 128,
    most: int = 8192,
    max_model_len: int = 131072,
) -> mp.Plan:
    """The plan of a layer: where the workspace holds what its indexer has chosen, then the window.

    Args:
        ratio: tokens of a compressed entry.
        topk: entries that the indexer chooses; -1 where there are fewer.
        window: tokens that a token sees beside them.
        most: the most tokens of a request in one chunk.
        max_model_len: the longest sequence.
    """

    @mp.plan
    def sglang_dsv4_combine(
        seq_lens: Annotated[i32, "req", mp.between(1, max_model_len)],
        extend_seq_lens: Annotated[i32, "req", mp.between(0, most)],
        compressed_base: Annotated[i32, "req", mp.between(0, 1 << 30)],
        swa_base: Annotated[i32, "req", mp.between(0, 1 << 30)],
        topk_indices: Annotated[i32, "tok", topk, mp.between(-1, max_model_len)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 20)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.ragged(req, extend_seq_lens, most=most)
        begin = mp.expect(seq_lens - extend_seq_lens, 0, max_model_len)
        pos = begin + tok.offset
        seen = mp.minimum(pos + 1, window)
        have = mp.minimum((pos + 1) // ratio, topk)
        first = mp.maximum(begin - (window - 1), 0)
        cell = mp.dense(tok, aligned(topk + window))
        place = cell.offset - have
        entry = topk_indices[tok, mp.minimum(cell.offset, topk - 1)]
        chosen = mp.where(entry >= 0, compressed_base + entry, -1)
        near = mp.where(place < seen, swa_base + (pos - seen + 1 - first) + place, -1)
        return dict(
            combined_indices=mp.tail(mp.where(place < 0, chosen, near), -1, until=padded_tokens),
            combined_lens=mp.tail(have + seen, 0, until=padded_tokens),
        )

    return sglang_dsv4_combine


def sglang_dsv4_tail(*, topk: int = 512, window: int = 128) -> mp.Plan:
    """The plan of a layer for TRT-LLM's kernels: its chosen entries, behind the window that is there.

    Args:
        topk: entries that the indexer chooses.
        window: columns of the table that the window fills.
    """

    @mp.plan
    def sglang_dsv4_tail(
        indices: Annotated[i32, "tok", topk],
        lengths: Annotated[i32, "tok", mp.between(0, topk)],
    ) -> Outputs:
        tok = mp.axis("tok")
        cell = mp.dense(tok, window + topk)
        behind = cell.offset >= window
        entry = mp.where(behind, indices[tok, cell.offset - window], -1)
        return dict(table=mp.keep(entry, where=behind), total_lengths=window + lengths)

    return sglang_dsv4_tail


def shipped() -> tuple[Shipped, ...]:
    longest, tables = 32768, {"state": 1024, "slot": 1 << 20}
    return (
        Shipped(
            "sglang_dsv4_prefill",
            lambda: sglang_dsv4_prefill(max_model_len=longest, states=1024, slots=1 << 20),
            {"req": 64, "tok": 8192, **tables},
        ),
        Shipped(
            "sglang_dsv4_combine",
            lambda: sglang_dsv4_combine(max_model_len=longest),
            {"req": 64, "tok": 8192},
        ),
        Shipped("sglang_dsv4_tail", sglang_dsv4_tail, {"tok": 8192}),
    )
