"""DeepSeek-V4 decode: windows, compressed history and its write plans for every class of layers.

The fields restate what ROCm's ATOM computes for that model (atom/model_ops/attentions/
deepseek_v4_attn.py, 2026-08): 19 copies and 0.5 to 9 ms of numpy a step there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64

Outputs = dict[str, mp.Value | mp.Out]

DENSE, CSA, HCA = 0, 4, 128


@dataclass(frozen=True, slots=True)
class Window:
    """Where a class of layers keeps its window ring: rows of a slot, in runs of ``stride`` rows."""

    start: int
    stride: int
    run_rows: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The row space that compressed history (by block) and windows (by slot) share."""

    slot_rows: int
    slots: int
    envelope_rows: int
    windows: Mapping[int, Window] = field(default_factory=dict[int, Window])

    def window_row(self, c: int, slot: mp.Value, pos: mp.Value, ring: int) -> mp.Value:
        """The row of position ``pos`` of a request's slot, for layers of class ``c``."""
        own = self.windows[c]
        cell = pos % ring
        run = cell // own.stride * own.run_rows + cell % own.stride
        return slot * self.slot_rows + own.start + run


@dataclass(frozen=True, slots=True)
class Model:
    """What is fixed when the step is captured."""

    rows: Rows
    drafts: int = 0
    window: int = 128
    block: int = 256
    topk: int = 1024
    max_model_len: int = 131072
    num_groups: int = 1 << 12
    num_blocks: int = 1 << 16

    @property
    def query(self) -> int:
        """Query tokens of a request at capture."""
        return 1 + self.drafts

    @property
    def ring(self) -> int:
        """Ring slots of a window: a rejected draft must not overwrite what is still visible."""
        return self.window + self.drafts


def v4_decode(
    model: Model,
    *,
    topk: bool = False,
    rectangle: bool = False,
    causal_hca: bool = False,
) -> mp.Plan:
    """The plan of one model.

    Args:
        model: sizes, and where rows are.
        topk: the indexer's choice is there: fill the heads of the CSA lists too.
        rectangle: per-token bounds as a right-aligned ``[req, query]`` rectangle.
        causal_hca: a draft token sees only the HCA entries that lie before it.
    """
    q, window, block, columns = model.query, model.window, model.block, _columns(model)
    rows, longest = model.rows, model.max_model_len

    @mp.plan
    def v4_decode(
        ctx_sched: Annotated[i32, "req", mp.between(0, longest)],
        num_rejected: Annotated[i32, "req", mp.between(0, model.drafts)],
        query_len: Annotated[i32, "req", mp.between(0, q)],
        block_table: Annotated[i32, "req", columns, mp.below(model.num_blocks)],
        num_blocks: Annotated[i32, "req", mp.between(0, columns)],
        group: Annotated[i32, "req", mp.below(model.num_groups)],
        fork_src: Annotated[i32, "req", mp.between(-1, model.num_groups - 1)],
        graph_requests: Annotated[i32, mp.between(0, 1 << 16)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.ragged(req, query_len, most=q)
        graph_tokens = graph_requests * q

        ctx = mp.expect(ctx_sched - num_rejected, 0, longest)
        pos = mp.expect(ctx - q + tok.offset, 0, longest - 1)
        slot = rows.slots - 1 - group
        source = mp.where(fork_src >= 0, rows.slots - 1 - fork_src, slot)
        csa_entries = ctx // CSA
        visible = mp.minimum((pos + 1) // CSA, csa_entries)
        hca_entries = mp.minimum((pos + 1) // HCA, ctx // HCA) if causal_hca else ctx // HCA

        seen = mp.minimum(pos + 1, window)
        swa = mp.ragged(tok, seen, most=window)
        csa = mp.pieces(tok, head=mp.minimum(visible, model.topk), window=seen)
        hca = mp.pieces(tok, head=hca_entries + 0 * tok.offset, window=seen)

        col = mp.dense(req, columns)
        table = mp.where(col.offset < num_blocks, block_table[req, col.offset], 0)
        token_col = mp.dense(tok, columns)
        token_table = mp.where(token_col.offset < num_blocks, block_table[req, token_col.offset], 0)

        def blocks(column: mp.Value) -> mp.Value:
            return mp.where(column < num_blocks, block_table[req, column], 0)

        def window_rows(c: int, win: mp.Value) -> mp.Value:
            return rows.window_row(c, slot, pos - seen + 1 + win, model.ring)

        outputs: Outputs = dict(
            positions=mp.tail(i64(pos), 0, until=graph_tokens),
            cu_seqlens_q=tok.indptr,
            context_lens=ctx,
            block_tables=table,
            state_slot_out=slot,
            state_slot_in=source,
            batch_id_per_token=mp.tail(mp.on(tok, tok.row), -1, until=graph_tokens),
            n_committed_csa_per_seq=mp.tail(csa_entries, model.topk, until=graph_requests),
            n_committed_hca_per_seq=ctx // HCA,
            kv_indptr_swa=mp.tail(swa.indptr, mp.LAST, until=graph_tokens),
            kv_indptr_csa=mp.tail(csa.indptr, mp.LAST, until=graph_tokens),
            kv_indptr_hca=mp.tail(hca.indptr, mp.LAST, until=graph_tokens),
            qo_indptr=mp.tail(tok.cuts, mp.LAST, until=graph_tokens),
        )
        if rectangle:
            cell = mp.dense(req, q)
            draft = cell.offset - (q - query_len)
            bound = mp.minimum(mp.maximum(ctx - q + draft + 1, 0) // CSA, csa_entries)
            wide = mp.dense(cell, columns)
            outputs["n_committed_per_token"] = mp.where(draft >= 0, bound, 0)
            outputs["block_tables_per_token"] = mp.where(
                wide.offset < num_blocks, block_table[req, wide.offset], 0
            )
        else:
            outputs["n_committed_per_token"] = mp.tail(visible, 0, until=graph_tokens)
            outputs["block_tables_per_token"] = mp.tail(token_table, 0, until=graph_tokens)

        if DENSE in rows.windows:
            outputs["swa_dest_swa"] = rows.window_row(DENSE, slot, pos, model.ring)
            outputs["kv_indices_swa"] = mp.tail(window_rows(DENSE, swa.offset), mp.UNDEFINED)
        parts: dict[str, mp.Value] = {}
        if CSA in rows.windows:
            outputs["swa_dest_csa"] = rows.window_row(CSA, slot, pos, model.ring)
            parts["window"] = window_rows(CSA, csa.window.offset)
        if topk:
            chosen = mp.array("topk_local", i32.KIND, "tok", model.topk, mp.below(longest))
            entry = chosen[tok, csa.head.offset]
            of_block = block // CSA
            parts["head"] = blocks(entry // of_block) * rows.envelope_rows + entry % of_block
        if parts:
            outputs["kv_indices_csa"] = mp.join(csa, **parts)
        entry = hca.head.offset
        of_block = block // HCA
        head = blocks(entry // of_block) * rows.envelope_rows + entry % of_block
        parts = {"head": head}
        if HCA in rows.windows:
            outputs["swa_dest_hca"] = rows.window_row(HCA, slot, pos, model.ring)
            parts["window"] = window_rows(HCA, hca.window.offset)
        outputs["kv_indices_hca"] = mp.join(hca, **parts)

        # Compression counts positions from the end of a request's tokens, as its builder does.
        last = mp.expect(ctx - query_len + tok.offset, 0, longest - 1)
        for ratio, taps in ((CSA, 2 * CSA), (HCA, HCA)):
            head = mp.maximum(taps - 1 - tok.offset, 0)
            closes = (last + 1) % ratio == 0
            writes = last >= mp.maximum(ctx - taps, 0)
            compressed = mp.compact(tok, where=closes, name=f"compress_{ratio}")
            written = mp.compact(tok, where=writes, name=f"write_{ratio}")
            for name, kept, room in (
                ("compress", compressed, -(-q // ratio)),
                ("write", written, min(q, taps)),
            ):
                record = mp.on(kept, tok.index, tok.row, last, head)
                plan = mp.tail(record, -1, until=graph_requests * room)
                outputs[f"{name}_plan_{ratio}"] = plan
                outputs[f"num_{name}_{ratio}"] = kept.size
            outputs[f"cu_compress_{ratio}"] = mp.indptr(mp.sum(closes, over=tok))
        return outputs

    return v4_decode


def _columns(model: Model) -> int:
    return -(-model.max_model_len // model.block)
