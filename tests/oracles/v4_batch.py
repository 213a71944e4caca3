"""A DeepSeek-V4 decode batch: its configuration, its arrays, and a generator of nasty ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .expected import Inputs
from .ragged import ceil_div
from .v4_pool import CSA, HCA, Pool

UNTOUCHED = -7777
"""Marks the cells that a producer must leave as they are."""


@dataclass(frozen=True, slots=True)
class Config:
    """The model and the server: what is fixed when the step is captured."""

    k: int = 0
    """draft tokens of a request"""
    W: int = 128
    """sliding window, tokens"""
    block: int = 256
    """tokens of a block"""
    index_topk: int = 1024
    max_bs: int = 16
    max_model_len: int = 4096
    layer_ratios: tuple[int, ...] = (0, 4, 128, 4, 128, 4)

    @property
    def q(self) -> int:
        """Query tokens of a request at capture."""
        return 1 + self.k

    @property
    def R(self) -> int:
        """Ring slots of a window: a rejected draft must not overwrite what is still visible."""
        return self.W + self.k

    @property
    def cols(self) -> int:
        """Columns of a block table."""
        return ceil_div(self.max_model_len, self.block)

    @property
    def rows4(self) -> int:
        """Compressed CSA entries of a block."""
        return self.block // CSA

    @property
    def rows128(self) -> int:
        """Compressed HCA entries of a block."""
        return self.block // HCA


@dataclass(frozen=True, slots=True)
class Batch:
    """The requests of one step; GB is the number of requests that the graph was captured for."""

    bs: int
    GB: int
    Q: int
    ctx_sched: NDArray[np.int32]
    """int32[req], scheduler's count, drafts included"""
    num_rejected: NDArray[np.int32]
    """int32[req], by the previous verify"""
    lens: NDArray[np.int32]
    """int32[req], query tokens of this step"""
    block_table: NDArray[np.int32]
    """int32[req, block], garbage from column ``num_blocks`` on"""
    num_blocks: NDArray[np.int32]
    groups: NDArray[np.int32]
    """int32[req], state-slot pool group"""
    fork_src: NDArray[np.int32]
    """int32[req], group that the state is read from; -1: its own"""

    @property
    def ctx(self) -> NDArray[np.int32]:
        """True context of each request."""
        return (self.ctx_sched - self.num_rejected).astype(np.int32)

    @property
    def T(self) -> int:
        """Live query tokens."""
        return int(self.lens.sum())

    @property
    def TP(self) -> int:
        """Query tokens that the graph was captured for."""
        return self.GB * self.Q


def batch_of(config: Config, inputs: Inputs) -> Batch:
    """The batch that the named inputs of the v4_decode plan describe."""
    n = int(inputs["req"])

    def rows(name: str) -> NDArray[Any]:
        return np.asarray(inputs[name])[:n]

    return Batch(
        n,
        int(inputs["graph_requests"]),
        config.q,
        rows("ctx_sched"),
        rows("num_rejected"),
        rows("query_len"),
        rows("block_table"),
        rows("num_blocks"),
        rows("group"),
        rows("fork_src"),
    )


def inputs_of(batch: Batch) -> dict[str, Any]:
    """The named inputs of the v4_decode plan that describe ``batch``."""
    return {
        "req": batch.bs,
        "graph_requests": batch.GB,
        "ctx_sched": batch.ctx_sched,
        "num_rejected": batch.num_rejected,
        "query_len": batch.lens,
        "block_table": batch.block_table,
        "num_blocks": batch.num_blocks,
        "group": batch.groups,
        "fork_src": batch.fork_src,
    }


def make_batch(
    config: Config,
    rng: random.Random,
    bs: int | None = None,
    GB: int | None = None,
    ragged: bool = False,
) -> Batch:
    """Random requests: short of the window, next to a multiple of 128, or anywhere."""
    bs = bs or rng.randint(1, config.max_bs)
    GB = GB or rng.choice([g for g in (1, 2, 4, 8, 16, 32, 64) if bs <= g <= max(bs, 64)])
    q = config.q
    context = np.array([_context(config, rng) for _ in range(bs)], np.int32)
    rejected = np.array([rng.randint(0, config.k) for _ in range(bs)], np.int32)
    lens = [rng.randint(1, q) if ragged else q for _ in range(bs)]
    num_blocks = [ceil_div(int(c), config.block) for c in context]
    ids = list(range(sum(num_blocks) + 5))
    rng.shuffle(ids)
    table = np.array(
        [[rng.choice(ids) for _ in range(config.cols)] for _ in range(bs)], np.int32
    ).reshape(bs, config.cols)
    at = 0
    for r, n in enumerate(num_blocks):
        table[r, :n] = ids[at : at + n]
        at += n
    slots = range(2 * config.max_bs)
    fork = [rng.choice([-1, -1, -1, rng.choice(slots)]) for _ in range(bs)]
    return Batch(
        bs,
        GB,
        q,
        context,
        rejected,
        np.array(lens, np.int32),
        table,
        np.array(num_blocks, np.int32),
        np.array(rng.sample(slots, bs), np.int32),
        np.array(fork, np.int32),
    )


def _context(config: Config, rng: random.Random) -> int:
    q, least, most = config.q, config.q + config.k, config.max_model_len - 1
    kind = rng.random()
    if kind < 0.25:
        context = rng.randint(least, min(config.W + 2 * q, most))
    elif kind < 0.5:
        context = rng.randint(1, most // 128) * 128 + rng.randint(-q, q)
    else:
        context = rng.randint(least, most)
    return min(max(context, least), most)


def make_pool(config: Config, batch: Batch, rng: random.Random) -> Pool:
    """A pool that holds every block of ``batch`` and some more."""
    num_blocks = int(batch.num_blocks.sum()) + 5
    return Pool(
        config.layer_ratios,
        num_blocks,
        2 * config.max_bs,
        config.R,
        config.block,
        arena_rows=rng.choice([0, 3, 10, 64]),
    )


def make_topk(config: Config, batch: Batch, rng: random.Random) -> NDArray[np.int32]:
    """int32[tok, topk]: an indexer's choice among the visible entries, garbage behind it."""
    out = np.array(
        [[rng.randrange(config.max_model_len) for _ in range(config.index_topk)]] * batch.T,
        np.int32,
    ).reshape(batch.T, config.index_topk)
    t = 0
    for r in range(batch.bs):
        context = int(batch.ctx[r])
        for j in range(int(batch.lens[r])):
            visible = min((context - config.q + j + 1) // CSA, context // CSA)
            picked = min(visible, config.index_topk)
            out[t, :picked] = rng.sample(range(visible), picked)
            t += 1
    return out
