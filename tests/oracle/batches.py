"""Random batches that are as nasty as an engine's: empty rows, page ends, dummies, full buffers."""

from __future__ import annotations

import numpy as np

from tests.oracles.engine_step import EngineStep
from tests.oracles.paged_decode import PagedDecode

REQ, TOK, PAGE_COL = 6, 30, 12


def paged_inputs(
    plan: PagedDecode, rng: np.random.Generator, req: int, most: int = 5, tok: int = TOK
) -> dict:
    """``req`` requests of up to PAGE_COL pages; lengths sit at a page end, a window end or at 0."""
    top = PAGE_COL * plan.page
    query = rng.integers(0, most + 1, req)
    seq = query + rng.integers(0, top - most + 1, req)
    page_end = plan.page * rng.integers(1, PAGE_COL + 1, req) - rng.integers(0, 2, req)
    kind = rng.integers(0, 5, req)
    seq = np.select(
        [kind == 0, kind == 1, kind == 2, kind == 3],
        [query, page_end, np.full(req, top), plan.window + query - 1],
        seq,
    ).clip(query, top)
    rejected = rng.integers(0, 4, req)
    live = int(query.sum())
    i32 = np.int32
    return {
        "req": req,
        "num_tokens": (seq + rejected).astype(i32),
        "num_rejected": rejected.astype(i32),
        "query_len": query.astype(i32),
        "table_row": rng.permutation(2 * REQ)[:req].astype(i32),
        "block_table": rng.integers(0, 1 << 20, (2 * REQ, PAGE_COL), i32),
        "graph_tokens": int(rng.integers(live, tok + 1)),
    }


def engine_inputs(
    plan: EngineStep,
    rng: np.random.Generator,
    req: int,
    model_len: int,
    most: int = REQ,
    tok: int = TOK,
) -> dict:
    """``req`` rows of ``most``, decode, chunk and dummy mixed, over 2 * REQ states."""
    states, k = 2 * REQ, plan.drafts
    query = rng.integers(0, 6, req)
    mapping = rng.permutation(states)[:req].astype(np.int64)
    mapping[rng.random(req) < 0.2] = -1
    draft = np.minimum(rng.integers(0, k + 1, req), np.maximum(query - 1, 0))
    computed = rng.integers(0, model_len - 6, states)
    computed[rng.random(states) < 0.2] = 0
    gap = rng.choice([-20, -3, -1, 0, 1, 2, 3, 5, 20], states)
    prefill = np.clip(computed + gap, 0, model_len)
    live = int(query.sum())
    inputs = {
        "req": req,
        "idx_mapping": mapping,
        "num_scheduled": query.astype(np.int32),
        "num_draft": draft.astype(np.int32),
        "padded_reqs": int(rng.integers(req, most + 1)),
        "padded_tokens": int(rng.integers(live, tok + 1)),
        "num_computed_tokens": computed.astype(np.int32),
        "prefill_len": prefill.astype(np.int32),
        "all_token_ids": rng.integers(0, 1000, (states, model_len), np.int32),
        "last_sampled_tokens": rng.integers(1000, 2000, states),
    }
    if k:
        inputs["draft_tokens"] = rng.integers(2000, 3000, (states, k))
    for g, group in enumerate(plan.groups):
        columns = -(-model_len // (group.page * plan.cp_size))
        inputs[f"block_table_{g}"] = rng.integers(0, 1 << 20, (states, columns), np.int32)
        inputs[f"num_blocks_{g}"] = rng.integers(0, columns + 1, states, np.int32)
    return inputs


def post_inputs(rng: np.random.Generator, req: int, k: int, model_len: int) -> tuple[dict, dict]:
    """What sampling wrote for ``req`` rows, and the state tables that it is applied to."""
    states = 2 * REQ
    mapping = rng.permutation(states)[:req].astype(np.int64)
    mapping[rng.random(req) < 0.2] = -1
    query = rng.integers(k + 1, k + 4, req)
    sampled = rng.choice([0, 1, k + 1, int(rng.integers(0, k + 2))], req)
    inputs = {
        "req": req,
        "idx_mapping": mapping,
        "query_start_loc": np.concatenate([[0], np.cumsum(query)]).astype(np.int32),
        "sampled_tokens": rng.integers(0, 1000, (req, k + 1)),
        "num_sampled": sampled.astype(np.int32),
        "num_rejected": np.where(sampled == 0, 0, k + 1 - sampled).astype(np.int32),
    }
    tables = {
        "num_computed_tokens": rng.integers(0, model_len - k - 4, states).astype(np.int32),
        "last_sampled_tokens": rng.integers(0, 1000, states),
        "total_len": rng.integers(0, model_len - k, states).astype(np.int32),
        "all_token_ids": rng.integers(0, 1000, (states, model_len), np.int32),
    }
    if k:
        inputs["new_draft_tokens"] = rng.integers(0, 1000, (req, k))
        tables["draft_tokens"] = rng.integers(0, 1000, (states, k))
    return inputs, tables
