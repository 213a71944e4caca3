# pyright: basic
"""Steps over one of SGLang's KV pools: what its attention backends are given, small and as served."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_pool import Pool
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import ROWS, SERVED, moved, named, request_table, requests, served

REQ = 6
Inputs = dict[str, Any]
SMALL: Inputs = dict(context=160, rows=9, slots=1 << 10)
LARGE: Inputs = dict(context=SERVED, rows=ROWS)


@dataclass(frozen=True)
class Case:
    """One kind of step, compared with what a backend does for it.

    Args:
        name, plan, replaces, theirs: as of the peer.
        declare: the plan for a pool and ``extra``.
        pool: options of the pool.
        page: tokens a page as served; 16 in the small batches unless ``pool`` says it.
        extra: what the batches say to the engine's code; ``ahead``: tokens read beyond sequences.
        served: the same with so many query tokens.
        add: further inputs for a number of requests, from a random generator, pool, extra and the
            number of the batch.
        low: the shortest sequence.
        idle: whether the engine's code can do without a request.
        live: further root axes, with the input whose rows are their live points.
        rooms: further dimensions, with the input that is as long in every batch.
        every: take every so many of the batches, where a plan is slow to interpret.
    """

    name: str
    plan: str
    replaces: tuple[str, ...]
    theirs: Callable[[Batch, Tensors, Mapping[str, torch.Tensor], str], Theirs]
    declare: Callable[[Pool, Mapping[str, Any]], Plan]
    pool: Mapping[str, Any] = field(default_factory=dict)
    page: int = 64
    extra: Mapping[str, Any] = field(default_factory=dict)
    served: Callable[[int], Mapping[str, Any]] | None = None
    add: Callable[..., Inputs] = lambda *_: {}
    low: int = 0
    idle: bool = True
    live: Mapping[str, str] = field(default_factory=dict)
    rooms: Mapping[str, str] = field(default_factory=dict)
    every: int = 1

    def peer(self) -> Peer:
        own: Any = {**SMALL, "page": 16, **self.pool}
        large: Any = {**LARGE, "slots": 1 << 20, "page": self.page, **self.pool}
        return Peer(
            name=self.name,
            engine="sglang",
            plan=self.plan,
            replaces=self.replaces,
            setup=self.setup(Pool(**own), self.extra, REQ, self.rooms_of(Pool(**own))),
            batches=lambda rng: self.batches(rng, Pool(**own)),
            theirs=self.theirs,
            bench=lambda count, query: self.bench(Pool(**large), count, query),
        )

    def setup(
        self, pool: Pool, extra: Mapping[str, Any], count: int, rooms: Mapping[str, int]
    ) -> Setup:
        sizes = {"req": count, "row": pool.rows, **rooms}
        sizes |= {axis: count * extra.get("query", 1) + 4 for axis in self.live}
        return Setup(lambda: self.declare(pool, extra), sizes)

    def rooms_of(self, pool: Pool) -> dict[str, int]:
        if not self.rooms:
            return {}
        inputs = next(self.batches(np.random.default_rng(0), pool)).inputs
        return {dim: len(inputs[name]) for dim, name in self.rooms.items()}

    def batches(self, rng: np.random.Generator, pool: Pool) -> Iterator[Batch]:
        most = pool.context - max(self.extra.get("ahead", (0,)))
        for at, (label, some) in enumerate(requests(rng, REQ, 16, most, pool.rows, self.low)):
            if at % self.every == 0 and (self.idle or len(some["seq_lens"])):
                yield self.step(rng, pool, self.extra, some, label, at)

    def bench(self, pool: Pool, count: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        extra = self.served(query) if self.served else self.extra
        batch = self.step(rng, pool, extra, served(rng, count), "", -1)
        rooms = {dim: len(batch.inputs[name]) for dim, name in self.rooms.items()}
        return self.setup(pool, extra, count, rooms), batch

    def step(
        self,
        rng: np.random.Generator,
        pool: Pool,
        extra: Mapping[str, Any],
        some: Inputs,
        label: str,
        at: int,
    ) -> Batch:
        inputs = {**some, **reads(rng, pool)}
        inputs |= self.add(rng, inputs, pool, extra, at)
        live = {axis: len(inputs[name]) for axis, name in self.live.items()}
        n = len(inputs["seq_lens"])
        return Batch(inputs, {"req": n, **live}, label, dict(pool=pool, **extra))


def reads(rng: np.random.Generator, pool: Pool) -> Inputs:
    """The tables that lead from a request to pages of ``pool``."""
    table = request_table(rng, pool.rows, pool.context, pool.page, pool.slots)
    found: Inputs = dict(req_to_token=table)
    if pool.unified:
        table[:, pool.page :: 7 * pool.page] = -1
        for name in ("full_v2p", "swa_v2p")[: 1 + pool.moved]:
            numbers = pool.slots // pool.page + 1
            found[name] = rng.integers(-1, numbers - 1, numbers)
    elif pool.moved:
        found["full_to_swa"] = moved(rng, pool.slots, pool.page)
    return found


def mode(name: str) -> Any:
    """The engine's name for a kind of step."""
    names = ("decode_or_idle", "target_verify", "draft_extend_v2", "dllm_extend")
    return named(**{f"is_{n}": (lambda own=n: own == name) for n in names})


def buffers(before: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The engine's own buffers: its sums begin with a 0 that no step writes."""
    return {k: torch.zeros_like(x) if k.startswith("cu_") else x.clone() for k, x in before.items()}


def upto(batch: Batch, own: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """All buffers, the sums as far as the engine writes them."""
    n = batch.live["req"] + 1
    return {k: x[:n] if k.startswith("cu_") else x for k, x in own.items()}
