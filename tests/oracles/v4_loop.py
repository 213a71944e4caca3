"""DeepSeek-V4 decode metadata one element at a time, in plain integers, from the definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .expected import Array
from .ragged import ceil_div
from .v4_batch import UNTOUCHED, Batch, Config
from .v4_pool import CSA, DENSE, HCA, Pool

I32 = np.int32


@dataclass(frozen=True, slots=True)
class _Rows:
    """The batch as lists of plain integers."""

    config: Config
    batch: Batch
    hca_causal: bool
    context: list[int]
    lens: list[int]
    table: list[list[int]]
    slot: list[int]
    owner: list[int]
    position: list[int]

    def visible(self, t: int) -> int:
        """CSA entries that token ``t`` may see."""
        return min((self.position[t] + 1) // 4, self.context[self.owner[t]] // 4)

    def chosen(self, t: int) -> int:
        return min(self.visible(t), self.config.index_topk)

    def hca(self, t: int) -> int:
        entries = self.context[self.owner[t]] // 128
        return min(entries, (self.position[t] + 1) // 128) if self.hca_causal else entries

    def window(self, t: int) -> int:
        p = self.position[t]
        return min(self.config.W, p + 1)


def _rows(config: Config, pool: Pool, batch: Batch, hca_causal: bool) -> _Rows:
    context = [int(batch.ctx_sched[r]) - int(batch.num_rejected[r]) for r in range(batch.bs)]
    lens = [int(x) for x in batch.lens]
    owner: list[int] = []
    position: list[int] = []
    for r in range(batch.bs):
        for j in range(lens[r]):
            owner.append(r)
            position.append(context[r] - config.q + j)
    table = [[0] * config.cols for _ in range(batch.bs)]
    for r in range(batch.bs):
        for c in range(int(batch.num_blocks[r])):
            table[r][c] = int(batch.block_table[r, c])
    slot = [pool.slot_positions - 1 - int(g) for g in batch.groups]
    return _Rows(config, batch, hca_causal, context, lens, table, slot, owner, position)


def loop_v4(
    config: Config,
    pool: Pool,
    batch: Batch,
    topk_local: Array | None = None,
    fp8_rect: bool = False,
    hca_causal: bool = False,
) -> dict[str, Any]:
    """Every field by its name, as ``vec_v4`` returns them."""
    rows = _rows(config, pool, batch, hca_causal)
    out = _per_request(rows, pool) | _per_token(rows) | _per_row(rows, fp8_rect)
    _windows(rows, pool, out)
    _heads(rows, pool, topk_local, out)
    for ratio, taps in ((4, 8), (128, 128)):
        out |= _plans(rows, ratio, taps)
    return out


def _per_request(rows: _Rows, pool: Pool) -> dict[str, Any]:
    config, batch, context, slot = rows.config, rows.batch, rows.context, rows.slot
    fence = [0]
    for r in range(batch.GB):
        fence.append(fence[-1] + (rows.lens[r] if r < batch.bs else 0))
    state_in: list[int] = []
    for r in range(batch.bs):
        source = int(batch.fork_src[r])
        state_in.append(pool.slot_positions - 1 - source if source >= 0 else slot[r])
    csa = [context[r] // 4 if r < batch.bs else config.index_topk for r in range(batch.GB)]
    return {
        "cu_seqlens_q": np.array(fence, I32),
        "context_lens": np.array(context, I32),
        "block_tables": np.array(rows.table, I32).reshape(batch.bs, config.cols),
        "state_slot_out": np.array(slot, I32),
        "state_slot_in": np.array(state_in, I32),
        "n_committed_csa_per_seq": np.array(csa, I32),
        "n_committed_hca_per_seq": np.array([c // 128 for c in context], I32),
    }


def _per_token(rows: _Rows) -> dict[str, Any]:
    live, graph = rows.batch.T, rows.batch.TP
    positions = [rows.position[t] if t < live else 0 for t in range(graph)]
    owners = [rows.owner[t] if t < live else -1 for t in range(graph)]
    swa, csa, hca = [0], [0], [0]
    for t in range(graph):
        window = rows.window(t) if t < live else 0
        swa.append(swa[-1] + window)
        csa.append(csa[-1] + (window + rows.chosen(t) if t < live else 0))
        hca.append(hca[-1] + (window + rows.hca(t) if t < live else 0))
    return {
        "positions": np.array(positions, np.int64),
        "batch_id_per_token": np.array(owners, I32),
        "kv_indptr_swa": np.array(swa, I32),
        "kv_indptr_csa": np.array(csa, I32),
        "kv_indptr_hca": np.array(hca, I32),
        "qo_indptr": np.array([min(x, live) for x in range(graph + 1)], I32),
    }


def _per_row(rows: _Rows, fp8_rect: bool) -> dict[str, Any]:
    config, batch = rows.config, rows.batch
    bound: list[int] = []
    tables: list[list[int]] = []
    if fp8_rect:
        for r in range(batch.bs):
            for column in range(config.q):
                j = column - (config.q - rows.lens[r])
                seen = (rows.context[r] - config.q + j + 1) // 4
                bound.append(min(seen, rows.context[r] // 4) if j >= 0 else 0)
                tables.append(rows.table[r])
    else:
        for t in range(batch.TP):
            bound.append(rows.visible(t) if t < batch.T else 0)
            tables.append(rows.table[rows.owner[t]] if t < batch.T else [0] * config.cols)
    return {
        "n_committed_per_token": np.array(bound, I32),
        "block_tables_per_token": np.array(tables, I32).reshape(len(bound), config.cols),
    }


def _windows(rows: _Rows, pool: Pool, out: dict[str, Any]) -> None:
    live, graph = rows.batch.T, rows.batch.TP
    for c, name in ((DENSE, "swa"), (CSA, "csa"), (HCA, "hca")):
        end = [int(x) for x in out[f"kv_indptr_{name}"]]
        indices = [UNTOUCHED] * end[live]
        own = [UNTOUCHED] * graph
        for t in range(live if c in pool.classes else 0):
            slot, last = rows.slot[rows.owner[t]], rows.position[t]
            first = max(0, last - rows.config.W + 1)
            for i, p in enumerate(range(first, last + 1)):
                row = pool.window_row_by_hand(c, slot, p)
                indices[end[t + 1] - rows.window(t) + i] = row
            own[t] = pool.window_row_by_hand(c, slot, last)
        out[f"kv_indices_{name}"] = np.array(indices, I32)
        out[f"swa_dest_{name}"] = np.array(own, I32)


def _heads(rows: _Rows, pool: Pool, topk_local: Array | None, out: dict[str, Any]) -> None:
    config = rows.config
    for t in range(rows.batch.T):
        table = rows.table[rows.owner[t]]
        start = int(out["kv_indptr_hca"][t])
        for e in range(rows.hca(t)):
            row = table[e // config.rows128] * pool.envelope_rows + e % config.rows128
            out["kv_indices_hca"][start + e] = row
        if topk_local is None:
            continue
        start = int(out["kv_indptr_csa"][t])
        for i in range(rows.chosen(t)):
            e = int(topk_local[t, i])
            row = table[e // config.rows4] * pool.envelope_rows + e % config.rows4
            out["kv_indices_csa"][start + i] = row


def _plans(rows: _Rows, ratio: int, taps: int) -> dict[str, Any]:
    batch = rows.batch
    compress: list[list[int]] = []
    write: list[list[int]] = []
    fence = [0]
    t = 0
    for r in range(batch.bs):
        for j in range(rows.lens[r]):
            p = rows.context[r] - rows.lens[r] + j
            row = [t, r, p, max(0, taps - j - 1)]
            if p % ratio == ratio - 1:
                compress.append(row)
            if p >= rows.context[r] - taps:
                write.append(row)
            t += 1
        fence.append(len(compress))
    room = {"compress": batch.GB * ceil_div(batch.Q, ratio), "write": batch.GB * min(batch.Q, taps)}
    out: dict[str, Any] = {f"cu_compress_{ratio}": np.array(fence, I32)}
    for tag, chosen in (("compress", compress), ("write", write)):
        empty = [[-1] * 4] * (room[tag] - len(chosen))
        out[f"{tag}_plan_{ratio}"] = np.array(chosen + empty, I32).reshape(room[tag], 4)
        out[f"num_{tag}_{ratio}"] = len(chosen)
    return out
