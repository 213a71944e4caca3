"""Turns a step into the named inputs of the shipped plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaplan.replay.scheduler import Scheduler
from metaplan.replay.settings import Settings
from metaplan.replay.step import Step
from metaplan.replay.tables import Tables
from metaplan.replay.trace import Trace

Inputs = dict[str, Any]
"""Arrays by name (rows of the batch only, tables whole), ``req`` and the scalars as integers."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A step with the inputs of every plan; a plan without a row in this step has None."""

    step: Step
    paged_decode: Inputs | None
    engine_step: Inputs
    post_update: Inputs
    v4_decode: Inputs | None


def frames(trace: Trace, settings: Settings) -> Iterator[Frame]:
    """Every step of a trace; tables are shared, and move on when the next frame is asked for."""
    tables, topk = Tables(settings), TopK(settings)
    for step in Scheduler(trace, settings).steps():
        tables.patch(step)
        engine = engine_inputs(settings, tables, step)
        frame = Frame(
            step,
            paged_inputs(settings, tables, step) if step.num_decodes else None,
            engine,
            post_inputs(settings, step, engine),
            v4_inputs(settings, tables, step, topk) if step.num_decodes else None,
        )
        yield frame
        tables.advance(frame.post_update)


def paged_inputs(settings: Settings, tables: Tables, step: Step) -> Inputs:
    """paged_decode sees the decode rows: the host's counts, and what the last verify rejected."""
    n = step.num_decodes
    query = step.query_len[:n]
    tokens = int(query.sum())
    return {
        "req": n,
        "num_tokens": step.computed_upper[:n] + query,
        "num_rejected": step.computed_upper[:n] - step.computed[:n],
        "query_len": query,
        "table_row": step.state[:n].astype(np.int32),
        "block_table": tables.arrays["block_table_0"],
        "graph_tokens": max(settings.graph(n) * settings.query_len, tokens),
    }


def engine_inputs(settings: Settings, tables: Tables, step: Step) -> Inputs:
    """engine_step sees every row, and at times a dummy row between decodes and prompts."""
    at = _dummy_row(settings, step)
    mapping = _with_row(step.state, at, -1)
    scheduled = _with_row(step.query_len, at, 1)
    tokens = int(scheduled.sum())
    arrays = tables.arrays
    inputs: Inputs = {
        "req": len(mapping),
        "idx_mapping": mapping,
        "num_scheduled": scheduled,
        "num_draft": _with_row(step.num_draft, at, 0),
        "padded_reqs": settings.graph(len(mapping)),
        "padded_tokens": min(-(-tokens // 16) * 16, settings.max_tokens),
    }
    names = ["num_computed_tokens", "prefill_len", "all_token_ids", "last_sampled_tokens"]
    names += ["draft_tokens"] if settings.drafts else []
    for g in range(len(settings.groups)):
        names += [f"block_table_{g}", f"num_blocks_{g}"]
    return inputs | {name: arrays[name] for name in names}


def post_inputs(settings: Settings, step: Step, engine: Inputs) -> Inputs:
    """post_update sees the rows of engine_step and what sampling made of them."""
    at = _dummy_row(settings, step)
    fence = np.zeros(engine["req"] + 1, np.int32)
    np.cumsum(engine["num_scheduled"], out=fence[1:])
    inputs: Inputs = {
        "req": engine["req"],
        "idx_mapping": engine["idx_mapping"],
        "query_start_loc": fence,
        "sampled_tokens": _with_row(step.sampled_tokens, at, 0),
        "num_sampled": _with_row(step.num_sampled, at, 1),
        "num_rejected": _with_row(step.num_rejected, at, 0),
    }
    if settings.drafts:
        inputs["new_draft_tokens"] = _with_row(step.new_draft_tokens, at, 0)
    return inputs


def v4_inputs(settings: Settings, tables: Tables, step: Step, topk: TopK) -> Inputs:
    """v4_decode sees the decode rows; its head is anchored, so the count holds all the drafts."""
    n, state = step.num_decodes, step.state[: step.num_decodes]
    last = len(settings.all_groups) - 1
    groups = 2 * settings.max_requests
    rng = np.random.default_rng([settings.seed, step.index])
    fork = np.where(rng.random(n) < 0.05, rng.integers(0, groups, n), -1)
    query = step.query_len[:n]
    return {
        "req": n,
        "graph_requests": settings.graph(n),
        "ctx_sched": step.computed_upper[:n] + np.int32(settings.query_len),
        "num_rejected": step.computed_upper[:n] - step.computed[:n],
        "query_len": query,
        "block_table": tables.arrays[f"block_table_{last}"][state],
        "num_blocks": tables.arrays[f"num_blocks_{last}"][state],
        "group": (state * 2 + state % 2).astype(np.int32),
        "fork_src": fork.astype(np.int32),
        "topk_local": topk.rows(step.index, np.repeat(step.computed[:n], query), query),
    }


class TopK:
    """An indexer's choice for each query token: any of the compressed entries that it may see."""

    def __init__(self, settings: Settings) -> None:
        rng = np.random.default_rng([settings.seed, 1])
        rows = 4 * settings.max_requests * settings.query_len
        self._share = (rng.integers(0, 1 << 16, (rows, settings.index_topk)) / (1 << 16)).astype(
            np.float32
        )

    def rows(
        self, index: int, computed: NDArray[np.int32], query: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """int32[tok, topk], below the entries that 4 tokens each have completed."""
        start = np.repeat(np.cumsum(query) - query, query)
        position = computed + np.arange(len(computed)) - start
        visible = ((position + 1) // 4).astype(np.float32)
        first = index * 97 % (len(self._share) - len(visible) + 1)
        share = self._share[first : first + len(visible)]
        return (share * visible[:, None]).astype(np.int32)


def _dummy_row(settings: Settings, step: Step) -> int | None:
    """Where this step's batch has a dummy row, if it has one and there is room."""
    every, rows = settings.dummy_every, len(step.state)
    due = every > 0 and step.index % every == every - 1
    room = rows < settings.max_requests and step.num_tokens < settings.max_tokens
    return step.num_decodes if due and room else None


def _with_row(values: NDArray[Any], at: int | None, fill: int) -> NDArray[Any]:
    return values if at is None else np.insert(values, at, fill, axis=0)
