"""Output buffers of each plan at full capacity, filled with a sentinel: what ``before`` may be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .engine_step import EngineStep
from .expected import Array
from .paged_decode import PagedDecode
from .ragged import ceil_div
from .v4_decode import V4Decode
from .v4_pool import CSA, HCA

SENTINEL = -99
I32, I64 = np.int32, np.int64


def _buffers(shapes: Mapping[str, tuple[tuple[int, ...], type[np.generic]]]) -> dict[str, Array]:
    return {name: np.full(shape, SENTINEL, dtype) for name, (shape, dtype) in shapes.items()}


def paged_buffers(plan: PagedDecode, req: int, tok: int, page_col: int) -> dict[str, Array]:
    """Buffers of paged_decode for ``req`` requests of at most ``page_col`` pages each."""
    return _buffers(
        {
            "positions": ((tok,), I64),
            "cu_seqlens_q": ((req + 1,), I32),
            "seq_lens": ((req,), I32),
            "slot_mapping": ((tok,), I64),
            "page_table": ((req, page_col), I32),
            "kv_page_indptr": ((req + 1,), I32),
            "kv_page_indices": ((req * page_col,), I32),
            "last_page_len": ((req,), I32),
            "window_ring": ((tok, plan.window), I32),
            "window_indptr": ((tok + 1,), I32),
            "window_indices": ((tok * plan.window,), I32),
        }
    )


def engine_buffers(
    plan: EngineStep, req: int, tok: int, pages: Mapping[int, int]
) -> dict[str, Array]:
    """Buffers of engine_step; ``pages`` gives the block-table columns of each group."""
    logit = req * (plan.drafts + 1)
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "query_start_loc": ((req + 1,), I32),
        "cu_num_logits": ((req + 1,), I32),
        "seq_lens": ((req,), I32),
        "positions": ((tok,), I64),
        "input_ids": ((tok,), I32),
        "logits_indices": ((logit,), I64),
        "expanded_idx_mapping": ((logit,), I64),
        "expanded_local_pos": ((logit,), I32),
        "is_padding": ((tok,), np.bool_),
    }
    for g in range(len(plan.groups)):
        shapes[f"input_block_table_{g}"] = ((req, pages[g]), I32)
        shapes[f"slot_mapping_{g}"] = ((tok,), I64)
    if plan.cp_size > 1:
        shapes["dcp_local_seq_lens"] = ((req,), I32)
    return _buffers(shapes)


def v4_buffers(plan: V4Decode, req: int) -> dict[str, Array]:
    """Buffers of v4_decode for a graph of at most ``req`` requests."""
    config = plan.config
    tok, cols = req * config.q, config.cols
    heads = {"swa": 0, "csa": config.index_topk, "hca": ceil_div(config.max_model_len, HCA)}
    shapes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "positions": ((tok,), I64),
        "cu_seqlens_q": ((req + 1,), I32),
        "block_tables": ((req, cols), I32),
        "batch_id_per_token": ((tok,), I32),
        "qo_indptr": ((tok + 1,), I32),
        "n_committed_per_token": ((tok,), I32),
        "block_tables_per_token": ((tok, cols), I32),
    }
    for name in ("context_lens", "state_slot_out", "state_slot_in"):
        shapes[name] = ((req,), I32)
    for name in ("n_committed_csa_per_seq", "n_committed_hca_per_seq"):
        shapes[name] = ((req,), I32)
    for name, head in heads.items():
        shapes[f"kv_indptr_{name}"] = ((tok + 1,), I32)
        shapes[f"kv_indices_{name}"] = ((tok * (config.W + head),), I32)
        shapes[f"swa_dest_{name}"] = ((tok,), I32)
    for ratio, taps in ((CSA, 2 * CSA), (HCA, HCA)):
        shapes[f"compress_plan_{ratio}"] = ((req * ceil_div(config.q, ratio), 4), I32)
        shapes[f"write_plan_{ratio}"] = ((req * min(config.q, taps), 4), I32)
        shapes[f"num_compress_{ratio}"] = ((1,), I32)
        shapes[f"num_write_{ratio}"] = ((1,), I32)
        shapes[f"cu_compress_{ratio}"] = ((req + 1,), I32)
    return _buffers(shapes)
