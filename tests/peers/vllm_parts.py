# pyright: basic
"""What vLLM's own builders are given: steps of query tokens and lengths, and the metadata that all backends share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from tests.peers.batches import Array, served_lengths
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Tensors

SERVED = 32768  # of the benches: the longest sequence


def fences(query_len: Array, requests: int) -> Array:
    """Where each request's tokens begin, int32[requests + 1]; the total from the last live one on."""
    starts = np.zeros(requests + 1, np.int32)
    starts[1 : len(query_len) + 1] = np.cumsum(query_len)
    starts[len(query_len) + 1 :] = query_len.sum()
    return starts


def decodes(
    rng: np.random.Generator, requests: int, query: int, page: int, most: int
) -> Iterator[tuple[str, Array, Array]]:
    """Steps in which every request has 1 to ``query`` tokens: a label, query and sequence lengths."""

    def some(n: int) -> Array:
        return rng.integers(query, most + 1, n).astype(np.int32)

    def same(tokens: int, n: int) -> Array:
        return np.full(n, tokens, np.int32)

    n = requests
    whole = np.minimum(page * (1 + np.arange(n)), most).astype(np.int32)
    around = np.clip(128 * (1 + np.arange(n) // 3) + np.arange(n) % 3 - 1, query, most)
    yield "one request", same(1, 1), some(1)
    yield "one token each, every row live", same(1, n), some(n)
    yield "whole pages", same(1, n), whole
    yield "one token short of a page", same(1, n), np.maximum(whole - 1, 1)
    yield "one token in the next page", same(query, n), np.clip(whole + 1, query, most)
    yield "around multiples of 128", same(query, n), around.astype(np.int32)
    yield "capacity reached", same(query, n), np.full(n, most, np.int32)
    yield "the first token", same(1, n), same(1, n)
    yield "new requests", same(query, 2), same(query, 2)
    for _ in range(2):
        live = int(rng.integers(1, n + 1))
        yield "ragged", rng.integers(1, query + 1, live).astype(np.int32), some(live)


def mixed(
    rng: np.random.Generator, requests: int, query: int, chunk: int, most: int
) -> Iterator[tuple[str, Array, Array]]:
    """Steps in the engine's order: decodes, then extends and new prompts of up to ``chunk`` tokens."""

    def step(n: int, extends: int, prompts: int) -> tuple[Array, Array]:
        tokens = rng.integers(query + 1, chunk + 1, extends + prompts)
        seen = rng.integers(1, most + 1 - tokens[:extends])
        lengths = np.concatenate(
            [rng.integers(query + 1, most + 1, n), tokens[:extends] + seen, tokens[extends:]]
        )
        tokens = np.concatenate([rng.integers(1, query + 1, n), tokens])
        return tokens.astype(np.int32), lengths.astype(np.int32)

    third = requests // 3
    yield "decodes, extends and prompts", *step(requests - 2 * third, third, third)
    yield "decodes and prompts", *step(requests - third, 0, third)
    yield "extends only", *step(0, third, 0)
    yield "one prompt", *step(0, 0, 1)
    yield "extends and prompts", *step(0, third, third)


def padded(seq_lens: Array, live: int = 2) -> tuple[Array, Array]:
    """One token each in the first ``live`` rows; the others pad a graph: no tokens, no length."""
    query_len = (np.arange(len(seq_lens)) < live).astype(np.int32)
    return query_len, seq_lens * query_len


def served_step(requests: int, query: int) -> tuple[np.random.Generator, Array, Array]:
    """A generator, query lengths and sequence lengths as the benches take them."""
    rng = np.random.default_rng(0)
    return rng, np.full(requests, query, np.int32), served_lengths(rng, requests)


def common(batch: Batch, given: Tensors, block_table: Any, **more: Any) -> Any:
    """The engine's CommonAttentionMetadata of a batch that has ``query_start_loc`` and ``seq_lens``."""
    n = batch.live["req"]
    starts = np.asarray(batch.inputs["query_start_loc"])[: n + 1]
    seq_lens = np.asarray(batch.inputs["seq_lens"])[:n]
    query_len = np.diff(starts)
    known = dict(
        query_start_loc=given["query_start_loc"][: n + 1],
        query_start_loc_cpu=torch.from_numpy(starts),
        seq_lens=given["seq_lens"][:n],
        num_reqs=n,
        num_actual_tokens=int(starts[-1]),
        max_query_len=int(query_len.max(initial=0)),
        max_seq_len=int(seq_lens.max(initial=0)),
        block_table_tensor=block_table,
        slot_mapping=None,
        seq_lens_cpu_upper_bound=torch.from_numpy(seq_lens),
    )
    return vllm().module("v1/attention/backend.py").CommonAttentionMetadata(**(known | more))


class _Unpinned:
    """Torch, as a machine without a GPU can run it: nothing is pinned."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    @staticmethod
    def zeros(*size: Any, pin_memory: bool = False, **named: Any) -> torch.Tensor:
        return torch.zeros(*size, **named)


@contextmanager
def pageable(module: Any) -> Iterator[None]:
    """Within it, ``module`` of the engine allocates no pinned memory where there is no GPU."""
    if torch.cuda.is_available():
        yield
        return
    module.torch = _Unpinned()
    try:
        yield
    finally:
        module.torch = torch
