"""DeepSeek-V4 decode metadata in array form: repeat, running sum and gather, as a planner lowers it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .expected import Array
from .ragged import ceil_div, expand, fence, padded
from .v4_batch import UNTOUCHED, Batch, Config
from .v4_pool import CSA, DENSE, HCA, Pool

I32 = np.int32
CLASSES = ((DENSE, "swa"), (CSA, "csa"), (HCA, "hca"))


def vec_v4(
    config: Config,
    pool: Pool,
    batch: Batch,
    topk_local: Array | None = None,
    fp8_rect: bool = False,
    hca_causal: bool = False,
) -> dict[str, Any]:
    """Every field by its name; arrays have the extent that the graph reads, counts are integers."""
    owner, offset = expand(batch.lens)
    table = _block_table(config, batch)
    out = _per_request(config, pool, batch, table)
    # The head of a row's span is anchored: with fewer query tokens than q the last ones are absent.
    position = batch.ctx.astype(np.int64)[owner] - config.q + offset
    out |= _per_token(config, batch, owner, position, hca_causal)
    committed = np.minimum((position + 1) // CSA, (batch.ctx // CSA)[owner]).astype(I32)
    out |= _per_row(config, batch, owner, offset, committed, table, fp8_rect)
    out |= _windows(config, pool, batch, owner, position, out)
    _hca_heads(config, pool, batch, owner, position, table, hca_causal, out)
    if topk_local is not None:
        _csa_heads(config, pool, batch, owner, committed, table, topk_local, out)
    for ratio, overlap in ((CSA, True), (HCA, False)):
        out |= _plans(batch, owner, offset, ratio, overlap)
    return out


def _block_table(config: Config, batch: Batch) -> NDArray[np.int32]:
    held = np.arange(config.cols) < batch.num_blocks[:, None]
    return np.where(held, batch.block_table[:, : config.cols], 0).astype(I32)


def _per_request(config: Config, pool: Pool, batch: Batch, table: Array) -> dict[str, Any]:
    slot = pool.physical_slot(batch.groups.astype(np.int64))
    forked = pool.physical_slot(batch.fork_src.astype(np.int64))
    return {
        "cu_seqlens_q": fence(batch.lens, batch.GB),
        "context_lens": batch.ctx,
        "block_tables": table,
        "state_slot_out": slot.astype(I32),
        "state_slot_in": np.where(batch.fork_src >= 0, forked, slot).astype(I32),
        "n_committed_csa_per_seq": padded(batch.ctx // CSA, batch.GB, config.index_topk, I32),
        "n_committed_hca_per_seq": (batch.ctx // HCA).astype(I32),
    }


def _hca_length(batch: Batch, owner: Array, position: Array, causal: bool) -> Array:
    committed = (batch.ctx // HCA)[owner]
    return np.minimum((position + 1) // HCA, committed) if causal else committed


def _per_token(
    config: Config, batch: Batch, owner: Array, position: Array, hca_causal: bool
) -> dict[str, Any]:
    live, graph = batch.T, batch.TP
    window = np.minimum(position + 1, config.W)
    visible = np.minimum((position + 1) // CSA, (batch.ctx // CSA)[owner])
    chosen = np.minimum(visible, config.index_topk)
    hca = _hca_length(batch, owner, position, hca_causal)
    return {
        "positions": padded(position, graph, 0, np.int64),
        "batch_id_per_token": padded(owner, graph, -1, I32),
        "kv_indptr_swa": fence(window, graph),
        "kv_indptr_csa": fence(window + chosen, graph),
        "kv_indptr_hca": fence(window + hca, graph),
        "qo_indptr": np.minimum(np.arange(graph + 1), live).astype(I32),
    }


def _per_row(
    config: Config,
    batch: Batch,
    owner: Array,
    offset: Array,
    committed: Array,
    table: Array,
    fp8_rect: bool,
) -> dict[str, Any]:
    """Causal bound and block table of every query row: packed, or a right-aligned rectangle."""
    if not fp8_rect:
        return {
            "n_committed_per_token": padded(committed, batch.TP, 0, I32),
            "block_tables_per_token": padded(table[owner], batch.TP, 0, I32),
        }
    bound = np.zeros(batch.bs * config.q, I32)
    bound[owner * config.q + (config.q - batch.lens[owner]) + offset] = committed
    return {
        "n_committed_per_token": bound,
        "block_tables_per_token": np.repeat(table, config.q, axis=0),
    }


def _windows(
    config: Config, pool: Pool, batch: Batch, owner: Array, position: Array, out: dict[str, Any]
) -> dict[str, Any]:
    """The window behind each token, at the end of its row, for every class that has layers."""
    length = np.minimum(position + 1, config.W)
    token, i = expand(length)
    slot = pool.physical_slot(batch.groups.astype(np.int64))[owner]
    key = position[token] - length[token] + 1 + i
    fields: dict[str, Any] = {}
    for c, name in CLASSES:
        end = out[f"kv_indptr_{name}"].astype(np.int64)
        indices = np.full(int(end[batch.T]), UNTOUCHED, I32)
        own = np.full(batch.TP, UNTOUCHED, I32)
        if c in pool.classes:
            indices[end[token + 1] - length[token] + i] = pool.window_row(c, slot[token], key)
            own[: batch.T] = pool.window_row(c, slot, position)
        fields |= {f"kv_indices_{name}": indices, f"swa_dest_{name}": own}
    return fields


def _hca_heads(
    config: Config,
    pool: Pool,
    batch: Batch,
    owner: Array,
    position: Array,
    table: Array,
    causal: bool,
    out: dict[str, Any],
) -> None:
    """Every committed HCA entry of the request, at the start of the row."""
    token, entry = expand(_hca_length(batch, owner, position, causal))
    start = out["kv_indptr_hca"].astype(np.int64)[token]
    block = table[owner[token], entry // config.rows128].astype(np.int64)
    out["kv_indices_hca"][start + entry] = pool.compress_row(block, entry % config.rows128)


def _csa_heads(
    config: Config,
    pool: Pool,
    batch: Batch,
    owner: Array,
    committed: Array,
    table: Array,
    topk_local: Array,
    out: dict[str, Any],
) -> None:
    """The indexer's choice among the CSA entries, at the start of the row."""
    token, i = expand(np.minimum(committed, config.index_topk))
    entry = topk_local[token, i].astype(np.int64)
    start = out["kv_indptr_csa"].astype(np.int64)[token]
    column = np.clip(entry // config.rows4, 0, config.cols - 1)
    block = table[owner[token], column].astype(np.int64)
    out["kv_indices_csa"][start + i] = pool.compress_row(block, entry % config.rows4)


def _plans(batch: Batch, owner: Array, offset: Array, ratio: int, overlap: bool) -> dict[str, Any]:
    """Rows [token, request, position, leading taps read from the ring].

    The position is anchored at the tail (ctx - len + j): under ragged verify it differs from
    ``positions``, as it does in the engine that this restates.
    """
    taps = ratio * (2 if overlap else 1)
    context = batch.ctx.astype(np.int64)[owner]
    position = context - batch.lens[owner] + offset
    from_ring = np.maximum(0, taps - (offset + 1))
    rows = np.stack([np.arange(len(owner)), owner, position, from_ring], 1).astype(I32)
    complete = (position + 1) % ratio == 0
    recent = position >= np.maximum(0, context - taps)
    out: dict[str, Any] = {}
    for tag, keep, capacity in (
        ("compress", complete, batch.GB * ceil_div(batch.Q, ratio)),
        ("write", recent, batch.GB * min(batch.Q, taps)),
    ):
        chosen = rows[keep]
        out[f"{tag}_plan_{ratio}"] = padded(chosen, capacity, -1, I32)
        out[f"num_{tag}_{ratio}"] = len(chosen)
    out[f"cu_compress_{ratio}"] = fence(np.bincount(owner[complete], minlength=batch.bs), batch.bs)
    return out
