# pyright: basic
"""Inputs of a real size for every plan: what an engine would hand over, at any batch and number of query tokens.

Lengths are uniform in 100..16384 (as far as the model allows), pages lie anywhere, some drafts were rejected. The same
numbers come out at every call. A workload knows its plan, its capacities, its oracle and its empty buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bench.rivals.geometry import V4
from metaplan import ir
from metaplan.plans import engine_step as engine
from metaplan.plans import paged_decode as paged
from metaplan.plans import v4_decode as v4
from tests.oracles import (
    Batch,
    Config,
    EngineStep,
    Expected,
    Group,
    PagedDecode,
    Pool,
    V4Decode,
    inputs_of,
    vec_engine_step,
    vec_paged_decode,
    vec_post_update,
    vec_v4_decode,
)
from tests.oracles.buffers import engine_buffers, paged_buffers, v4_buffers

PLANS = ("paged_decode", "engine_step", "post_update", "v4_decode")
BATCHES = (1, 16, 64, 128, 256, 1024, 4096)
QUERIES = (1, 2, 4)
SHORTEST, LONGEST = 100, 16384
PAGE, ENGINE_LENGTH = 16, 8192  # 512 pages a row
GARBAGE = 77
COMPRESS = ("compress_plan", "write_plan", "num_compress", "num_write", "cu_compress")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a plan is compiled for: ``req`` requests of at most ``most`` query tokens, ``chunk`` in a prompt's step."""

    name: str
    req: int
    most: int
    chunk: int = 0

    @property
    def tokens(self) -> int:
        return max(self.req * self.most, self.chunk)


def capacity(name: str, batch: int, query: int) -> Capacity:
    """By name: ``batch`` (no more than this batch), ``all`` (one plan for every batch), ``mixed`` (prompt chunks too)."""
    match name:
        case "batch":
            return Capacity(name, batch, query)
        case "all":
            return Capacity(name, max(batch, 1024), 8)
        case "mixed":
            return Capacity(name, max(batch, 1024), 8, chunk=8192)
    raise KeyError(f"no such capacity: {name}; there are batch, all and mixed")


@dataclass(frozen=True, slots=True)
class Workload:
    """A plan bound to one batch: ``inputs`` in the oracle's form, ``numbers`` what a rival takes beside the tensors."""

    name: str
    batch: int
    query: int
    capacity: Capacity
    plan: ir.Plan
    sizes: Mapping[str, int]
    inputs: Mapping[str, Any]
    oracle: Callable[[Arrays], Expected]
    empty: Callable[[], Arrays]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    states: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.batch * self.query

    def given(self) -> dict[str, Any]:
        """Every input of the plan at capacity: garbage behind the live rows; live sizes and scalars as integers."""
        out: dict[str, Any] = {}
        for i in self.plan.inputs:
            value = self.inputs[i.name]
            if not i.dims:
                out[i.name] = int(value)
                continue
            array = np.asarray(value, i.dtype.value)
            rows = (
                self.sizes.get(str(i.dims[0]), self.capacity.tokens)
                if isinstance(i.dims[0], str)
                else i.dims[0]
            )
            if i.dims[0] == "tok":
                rows = self.capacity.tokens
            if len(array) < rows:
                whole = np.full((rows, *array.shape[1:]), GARBAGE, array.dtype)
                whole[: len(array)] = array
                array = whole
            out[i.name] = array
        return out | {name: int(self.inputs[name]) for name in self.plan.root_names()}


def make(
    name: str,
    batch: int,
    query: int,
    capacity_name: str = "batch",
    *,
    small: bool = False,
    **options: Any,
) -> Workload:
    """The workload of a plan; ``small`` for the interpreter: short rows, few of them."""
    maker = {
        "paged_decode": paged_decode,
        "engine_step": engine_step,
        "post_update": post_update,
        "v4_decode": v4_decode,
    }[name]
    rng = np.random.default_rng([PLANS.index(name), batch, query])
    room = capacity(capacity_name, batch, query)
    if small and room.req > batch:
        room = replace(room, req=batch + 3, most=query + 1, chunk=8 if room.chunk else 0)
    return maker(rng, batch, query, room, small, **options)


def lengths(rng: np.random.Generator, batch: int, query: int, longest: int) -> np.ndarray:
    """int32[req]: true lengths, this step's query tokens included."""
    return rng.integers(min(SHORTEST, longest // 4) + query, longest - query, batch, np.int32)


def paged_decode(
    rng: np.random.Generator, batch: int, query: int, room: Capacity, small: bool
) -> Workload:
    longest, page = (128, 4) if small else (LONGEST, PAGE)
    window, columns = (8, 32) if small else (128, LONGEST // PAGE)
    ring, rows = window + 8, room.req
    rejected = rng.integers(0, query, batch, np.int32)
    inputs = {
        "req": batch,
        "num_tokens": lengths(rng, batch, query, longest) + rejected,
        "num_rejected": rejected,
        "query_len": np.full(batch, query, np.int32),
        "table_row": rng.permutation(rows)[:batch].astype(np.int32),
        "block_table": rng.integers(0, 1 << 20, (rows, columns), np.int32),
        "graph_tokens": batch * query,
    }
    numbers = {"page": page, "window": window, "ring": ring}
    oracle = PagedDecode(page, window, ring)
    plan = paged.paged_decode(**numbers, most=room.most, max_model_len=longest)
    return Workload(
        "paged_decode",
        batch,
        query,
        room,
        plan.ir,
        {"req": room.req, "tok": room.tokens, "row": rows, "page_col": columns},
        inputs,
        lambda before: vec_paged_decode(oracle, inputs, before),
        lambda: paged_buffers(oracle, room.req, room.tokens, columns),
        numbers,
    )


def _tables(rng: np.random.Generator, states: int, length: int, drafts: int) -> Arrays:
    """What a runner keeps of every request."""
    made = {
        "all_token_ids": rng.integers(0, 1 << 17, (states, length), np.int32),
        "last_sampled_tokens": rng.integers(0, 1 << 17, states),
    }
    if drafts:
        made["draft_tokens"] = rng.integers(0, 1 << 17, (states, drafts))
    return made


def engine_step(
    rng: np.random.Generator,
    batch: int,
    query: int,
    room: Capacity,
    small: bool,
    groups: int = 1,
) -> Workload:
    """One full group of page 16 with 512 pages a row; the second of two groups sees 128 tokens."""
    length, page, states = (
        (64, 4, room.req + 2) if small else (ENGINE_LENGTH, PAGE, max(room.req, 1024))
    )
    kinds = (Group(page), Group(page, reach=8 if small else 128))[:groups]
    drafts = room.most - 1
    oracle = EngineStep(kinds, drafts)
    seq = lengths(rng, states, query, length)
    columns = length // page
    inputs: dict[str, Any] = {
        "req": batch,
        "idx_mapping": rng.permutation(states)[:batch].astype(np.int64),
        "num_scheduled": np.full(batch, query, np.int32),
        "num_draft": np.full(batch, query - 1, np.int32),
        "padded_reqs": batch,
        "padded_tokens": batch * query,
        "num_computed_tokens": seq - query,
        "prefill_len": np.minimum(seq - query, rng.integers(1, length, states)).astype(np.int32),
        **_tables(rng, states, length, drafts),
    }
    for g in range(groups):
        inputs[f"block_table_{g}"] = rng.integers(0, 1 << 20, (states, columns), np.int32)
        inputs[f"num_blocks_{g}"] = -(-seq // page).astype(np.int32)
    plan = engine.engine_step(
        groups=tuple(engine.Group(k.page, k.reach) for k in kinds),
        drafts=drafts,
        max_model_len=length,
        max_tokens=room.chunk or room.most,
    )
    pages = dict.fromkeys(range(groups), columns)
    sizes = {"req": room.req, "tok": room.tokens, "state": states, "model_len": length}
    return Workload(
        "engine_step",
        batch,
        query,
        room,
        plan.ir,
        sizes | {f"page_{g}": columns for g in range(groups)},
        inputs,
        lambda before: vec_engine_step(oracle, inputs, before),
        lambda: engine_buffers(oracle, room.req, room.tokens, pages),
        {"groups": kinds},
    )


def post_update(
    rng: np.random.Generator, batch: int, query: int, room: Capacity, small: bool
) -> Workload:
    """Every request accepted between none and all of its drafts."""
    length, states = (64, room.req + 2) if small else (ENGINE_LENGTH, max(room.req, 1024))
    drafts = room.most - 1
    sampled = rng.integers(1, query + 1, batch, np.int32)
    seq = lengths(rng, states, query, length // 2)  # room for the timed calls: each one appends
    inputs: dict[str, Any] = {
        "req": batch,
        "idx_mapping": rng.permutation(states)[:batch].astype(np.int64),
        "query_start_loc": np.arange(batch + 1, dtype=np.int32) * query,
        "sampled_tokens": rng.integers(0, 1 << 17, (batch, drafts + 1)),
        "num_sampled": sampled,
        "num_rejected": query - sampled,
    }
    tables = {
        "num_computed_tokens": seq - query,
        "total_len": seq.copy(),
        **_tables(rng, states, length, drafts),
    }
    if drafts:
        inputs["new_draft_tokens"] = rng.integers(0, 1 << 17, (batch, drafts))
    plan = engine.post_update(drafts=drafts, max_model_len=length, max_tokens=room.most)
    return Workload(
        "post_update",
        batch,
        query,
        room,
        plan.ir,
        {"req": room.req, "state": states, "model_len": length, "req_fence": room.req + 1},
        inputs | tables,
        lambda before: vec_post_update(inputs, before),
        lambda: {name: table.copy() for name, table in tables.items()},
        {},
        tuple(tables),
    )


def v4_decode(
    rng: np.random.Generator,
    batch: int,
    query: int,
    room: Capacity,
    small: bool,
    every_field: bool = False,
    longest: int | None = None,
    context: int = LONGEST,
) -> Workload:
    """Without the compress and write plans, which no rival fills, unless ``every_field``. Queries are always ``query``.

    The longest sequence is 131072 tokens for up to 256 requests, 16384 beyond, unless given; the sequences that are
    there have at most ``context``.
    """
    block, topk = 256, 1024
    if longest is None:
        requests = max(batch, room.req if room.name == "batch" else 0)
        longest = 131072 if requests <= 256 else 16384
    window = 128
    if small:
        longest, window, topk = 1024, 8, 64
    room = replace(room, most=query, chunk=0)
    drafts = query - 1
    config = Config(drafts, window, block, topk, room.req, longest)
    rejected = rng.integers(0, query, batch, np.int32)
    true = lengths(rng, batch, 2 * query, min(longest, context))
    held = -(-(true + rejected) // block).astype(np.int32)
    blocks = room.req * (min(longest, context) // block) + 5
    table = rng.integers(0, blocks, (batch, config.cols), np.int32)
    ids = rng.permutation(blocks)[: int(held.sum())].astype(np.int32)
    table[np.arange(config.cols) < held[:, None]] = ids
    groups = 2 * room.req
    fork = np.where(rng.random(batch) < 0.25, rng.integers(0, groups, batch), -1).astype(np.int32)
    made = Batch(
        batch,
        batch,
        query,
        true + rejected,
        rejected,
        np.full(batch, query, np.int32),
        table,
        held,
        rng.permutation(groups)[:batch].astype(np.int32),
        fork,
    )
    inputs = inputs_of(made)
    pool = Pool(config.layer_ratios, blocks, groups, config.R, block)
    windows = {
        c: v4.Window(pool.ring_start(c), pool.stride[c], pool.run_rows(c)) for c in pool.classes
    }
    model = v4.Model(
        v4.Rows(pool.slot_rows, pool.slot_positions, pool.envelope_rows, windows),
        drafts=drafts,
        window=window,
        block=block,
        topk=topk,
        max_model_len=longest,
        num_groups=groups,
        num_blocks=blocks,
    )
    plan, oracle = v4.v4_decode(model).ir, V4Decode(config, pool)
    wanted = tuple(o for o in plan.outputs if every_field or not o.name.startswith(COMPRESS))
    names = {o.name for o in wanted}

    def expected(before: Arrays) -> Expected:
        whole = vec_v4_decode(oracle, inputs, before)
        return Expected(
            {n: value for n, value in whole.values.items() if n in names},
            {n: value for n, value in whole.specified.items() if n in names},
        )

    def empty() -> Arrays:
        keep = ("kv_indices_csa",)
        return {
            n: value for n, value in v4_buffers(oracle, room.req).items() if n in names or n in keep
        }

    return Workload(
        "v4_decode",
        batch,
        query,
        room,
        replace(plan, outputs=wanted),
        {"req": room.req, "tok": room.tokens},
        inputs,
        expected,
        empty,
        {"v4": V4.of(config, pool)},
    )
