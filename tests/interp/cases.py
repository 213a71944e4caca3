"""The shipped plans at sizes that an interpreter can run: each with its oracle and its random batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaplan import ir
from metaplan.plans import engine_step as engine
from metaplan.plans import v4_decode as v4
from metaplan.plans.paged_decode import paged_decode
from tests import oracles
from tests.oracle import batches
from tests.oracles.buffers import v4_buffers
from tests.oracles.expected import Expected

Batch = dict[str, Any]
Oracle = Callable[[Batch, Mapping[str, np.ndarray]], Expected]


@dataclass(frozen=True, slots=True)
class Case:
    """A plan, its capacities, a batch for ``(seed, live requests)``, and what must come out."""

    name: str
    plan: ir.Plan
    sizes: dict[str, int]
    batch: Callable[[int, int], Batch]
    vec: Oracle
    loop: Oracle

    @property
    def req(self) -> int:
        return self.sizes["req"]


def paged(page: int, window: int, ring: int, req: int = batches.REQ, tok: int = 0) -> Case:
    own = oracles.PagedDecode(page, window, ring)
    tok = tok or req * 5
    top = page * batches.PAGE_COL
    plan = paged_decode(page=page, window=window, ring=ring, most=5, max_model_len=top)

    def batch(seed: int, live: int) -> Batch:
        rng = np.random.default_rng([seed, live])
        return batches.paged_inputs(own, rng, min(live, 2 * batches.REQ), tok=tok)

    return Case(
        f"paged-{page}-{window}-{req}",
        plan.ir,
        {"req": req, "tok": tok, "row": 2 * batches.REQ, "page_col": batches.PAGE_COL},
        batch,
        lambda inputs, before: oracles.vec_paged_decode(own, inputs, before),
        lambda inputs, before: oracles.loop_paged_decode(own, inputs, before),
    )


def step(
    groups: tuple[tuple[int, int], ...],
    drafts: int,
    parallel: tuple[int, int, int] = (1, 0, 1),
    req: int = batches.REQ,
    model_len: int = 48,
) -> Case:
    own = oracles.EngineStep(tuple(oracles.Group(*g) for g in groups), drafts, *parallel)
    plan = engine.engine_step(
        groups=tuple(engine.Group(*g) for g in groups),
        drafts=drafts,
        max_model_len=model_len,
        max_tokens=5,
        interleave=engine.Interleave(*parallel) if parallel[0] > 1 else None,
    )
    tok = req * 5

    def batch(seed: int, live: int) -> Batch:
        rng = np.random.default_rng([seed, live])
        live = min(live, 2 * batches.REQ)
        return batches.engine_inputs(own, rng, live, model_len, most=req, tok=tok)

    columns = {f"page_{g}": batch(0, 0)[f"block_table_{g}"].shape[1] for g in range(len(groups))}
    name = "-".join(f"{page}r{reach}" for page, reach in groups)
    return Case(
        f"engine-{name}-k{drafts}-cp{parallel[0]}-{req}",
        plan.ir,
        {"req": req, "tok": tok, "state": 2 * batches.REQ, "model_len": model_len, **columns},
        batch,
        lambda inputs, before: oracles.vec_engine_step(own, inputs, before),
        lambda inputs, before: oracles.loop_engine_step(own, inputs, before),
    )


def post(drafts: int, req: int = batches.REQ, model_len: int = 48) -> Case:
    plan = engine.post_update(drafts=drafts, max_model_len=model_len, max_tokens=8)

    def batch(seed: int, live: int) -> Batch:
        rng = np.random.default_rng([seed, live])
        inputs, tables = batches.post_inputs(rng, min(live, 2 * batches.REQ), drafts, model_len)
        return inputs | tables

    return Case(
        f"post-k{drafts}-{req}",
        plan.ir,
        {"req": req, "state": 2 * batches.REQ, "model_len": model_len, "req_fence": req + 1},
        batch,
        oracles.vec_post_update,
        oracles.loop_post_update,
    )


def deepseek(
    drafts: int,
    ratios: tuple[int, ...],
    *,
    ragged: bool = False,
    topk: bool = False,
    rectangle: bool = False,
    causal: bool = False,
    req: int = 4,
    window: int = 16,
) -> Case:
    longest, entries = 1024, 64
    config = oracles.Config(drafts, window, 256, entries, req, longest, ratios)
    pool = oracles.Pool(ratios, 64, 2 * req, config.R, config.block, arena_rows=3)
    windows = {
        c: v4.Window(pool.ring_start(c), pool.stride[c], pool.run_rows(c)) for c in pool.classes
    }
    rows = v4.Rows(pool.slot_rows, pool.slot_positions, pool.envelope_rows, windows)
    model = v4.Model(rows, drafts, window, config.block, entries, longest, 2 * req, 64)
    plan = v4.v4_decode(model, topk=topk, rectangle=rectangle, causal_hca=causal)
    own = oracles.V4Decode(config, pool, rectangle, causal)

    def batch(seed: int, live: int) -> Batch:
        rng = random.Random(f"{seed} {live}")
        graph = rng.randint(max(live, 1), req)
        made = oracles.make_batch(config, rng, bs=max(live, 1), GB=graph, ragged=ragged)
        inputs = oracles.inputs_of(made)
        if topk:
            inputs["topk_local"] = oracles.make_topk(config, made, rng)
        if not live:
            inputs |= {n: v[:0] for n, v in inputs.items() if isinstance(v, np.ndarray)}
            inputs["req"] = 0
        return inputs

    def padded(before: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return v4_buffers(own, req) | dict(before)

    options = "".join(
        f"-{word}"
        for word, on in (
            ("ragged", ragged), ("topk", topk), ("rectangle", rectangle), ("causal", causal)
        )
        if on
    )  # fmt: skip
    return Case(
        f"v4-k{drafts}-{'.'.join(map(str, ratios))}{options}-{req}",
        plan.ir,
        {"req": req, "tok": req * config.q},
        batch,
        lambda inputs, before: oracles.vec_v4_decode(own, inputs, padded(before)),
        lambda inputs, before: oracles.loop_v4_decode(own, inputs, padded(before)),
    )


SMALL = (
    paged(4, 9, 12),
    paged(1, 1, 3),
    paged(16, 128, 136),
    step(((4, 0),), 0),
    step(((4, 0), (8, 6)), 2),
    step(((4, 0), (8, 6), (1, 3)), 3),
    step(((4, 0),), 1, (2, 1, 2)),
    step(((4, 0), (2, 0)), 2, (3, 0, 1)),
    post(0),
    post(1),
    post(3),
    deepseek(0, (0, 4, 128, 4, 128, 4)),
    deepseek(3, (0, 4, 128, 4), ragged=True, topk=True, causal=True),
    deepseek(1, (4, 128), rectangle=True, ragged=True),
    deepseek(1, (0,)),
    deepseek(0, (4, 0), topk=True),
)
"""Every plan family with every option, a few requests each."""

LARGE = (
    paged(4, 9, 12, req=64, tok=200),
    paged(2, 3, 5, req=1024, tok=8192),
    step(((4, 0), (8, 6)), 2, req=64),
    step(((4, 0),), 1, req=1024),
    post(2, req=64),
    deepseek(1, (0, 4, 128, 4), ragged=True, req=32),
)
"""Capacities far above the live requests: other tiles, several rows a program, loops and splits."""
