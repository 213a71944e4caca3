# pyright: basic
"""The NumPy parts of a DeepSeek-V4 decode preparation on the host, as ATOM's builder has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.rivals.geometry import CLASSES, V4
from bench.rivals.numpy_copy import expand, indptr, padded

I32, I64 = np.int32, np.int64
Arrays = dict[str, np.ndarray]
TAPS = {4: 8, 128: 128}  # tokens that one compressed entry is made of


class Tokens:
    """What the host computes first: whose each query token is and where it stands."""

    def __init__(self, inputs: Mapping[str, Any], v4: V4) -> None:
        live = int(inputs["req"])
        self.inputs, self.v4, self.live = inputs, v4, live
        self.graph = int(inputs["graph_requests"])
        self.total = self.graph * v4.queries
        self.lens = inputs["query_len"][:live]
        self.ctx = inputs["ctx_sched"][:live] - inputs["num_rejected"][:live]
        self.owner, self.offset = expand(self.lens)
        self.pos = self.ctx[self.owner].astype(I64) - v4.queries + self.offset
        self.seen = np.minimum(self.pos + 1, v4.window)
        self.slot = v4.slot_positions - 1 - inputs["group"][:live]

    @property
    def tokens(self) -> int:
        return len(self.owner)


def first_five(at: Tokens) -> Arrays:
    """What goes to the device before anything else: positions, offsets, lengths, block tables, state slots."""
    columns = at.inputs["block_table"].shape[1]
    inside = np.arange(columns) < at.inputs["num_blocks"][: at.live, None]
    fork = at.inputs["fork_src"][: at.live]
    return {
        "positions": padded(at.pos, at.total, 0, I64),
        "cu_seqlens_q": indptr(at.lens, at.graph),
        "context_lens": at.ctx,
        "block_tables": np.where(inside, at.inputs["block_table"][: at.live], 0),
        "state_slot_out": at.slot,
        "state_slot_in": np.where(fork >= 0, at.v4.slot_positions - 1 - fork, at.slot),
    }


def compress_plans(at: Tokens) -> Arrays:
    """Which tokens close a compressed entry, and which are kept for the next one; rows of -1 behind them."""
    made: Arrays = {}
    last = at.ctx[at.owner] - at.lens[at.owner] + at.offset
    queries = at.v4.queries
    for ratio, taps in TAPS.items():
        head = np.maximum(taps - 1 - at.offset, 0)
        rows = np.stack([np.arange(at.tokens), at.owner, last, head], 1).astype(I32)
        closes = (last + 1) % ratio == 0
        writes = last >= np.maximum(at.ctx - taps, 0)[at.owner]
        for name, kept, room in (
            ("compress", closes, -(-queries // ratio)),
            ("write", writes, min(queries, taps)),
        ):
            chosen = rows[kept]
            plan = np.full((at.graph * room, 4), -1, I32)
            plan[: len(chosen)] = chosen
            made[f"{name}_plan_{ratio}"] = plan
    return made


def per_token(at: Tokens, table: np.ndarray) -> Arrays:
    """Fields of every query token, offsets of the index lists, window rows that are written."""
    v4, ctx, owner, pos = at.v4, at.ctx, at.owner, at.pos
    seen = np.minimum((pos + 1) // 4, ctx[owner] // 4)
    tables = np.zeros((at.total, table.shape[1]), I32)
    tables[: at.tokens] = table[owner]
    made: Arrays = {
        "batch_id_per_token": padded(owner, at.total, -1, I32),
        "n_committed_csa_per_seq": padded(ctx // 4, at.graph, v4.topk, I32),
        "n_committed_per_token": padded(seen, at.total, 0, I32),
        "block_tables_per_token": tables,
    }
    heads = {"swa": 0, "csa": np.minimum(seen, v4.topk), "hca": ctx[owner] // 128}
    for name, ring in zip(CLASSES, v4.rings, strict=True):
        made[f"kv_indptr_{name}"] = indptr(at.seen + heads[name], at.total)
        if ring is not None:
            made[f"swa_dest_{name}"] = ring.row(at.slot[owner], pos)
    return made


def window_topk(at: Tokens) -> np.ndarray:
    """int32[token, window]: ring cells of what a token sees, oldest first, then -1."""
    ring = next(ring for ring in at.v4.rings if ring is not None)
    lane = np.arange(at.v4.window, dtype=I32)
    first = (at.pos - at.seen + 1).astype(I32)
    cells = (first[:, None] + lane) % ring.size
    return np.where(lane < at.seen[:, None], cells, -1).astype(I32)


def hca_vectorised(at: Tokens, table: np.ndarray, ptr: np.ndarray, flat: np.ndarray) -> None:
    """Rows of all compressed entries of all tokens at once, into the heads of their lists."""
    per_block = at.v4.block // 128
    token, entry = expand((at.ctx // 128)[at.owner])
    block = table[at.owner[token], entry // per_block]
    flat[ptr[token] + entry] = block * at.v4.envelope_rows + entry % per_block


def hca_loop(at: Tokens, table: np.ndarray, ptr: np.ndarray, flat: np.ndarray) -> None:
    """The same, a token after the other."""
    per_block = at.v4.block // 128
    place = np.arange(per_block, dtype=I32)
    counts = (at.ctx // 128)[at.owner].tolist()
    for token, (row, count) in enumerate(zip(at.owner.tolist(), counts, strict=True)):
        blocks = table[row, : -(-count // per_block)]
        rows = (blocks[:, None] * at.v4.envelope_rows + place).ravel()
        flat[ptr[token] : ptr[token] + count] = rows[:count]
