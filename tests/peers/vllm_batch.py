# pyright: basic
"""Decode steps as vLLM's builders are given them: rows, their metadata object, its small classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.peers.engines import vllm

Array = np.ndarray


@dataclass(frozen=True)
class Rows:
    """Requests of one step: ``seq_lens`` with the query tokens counted in, and ``query_lens``."""

    seq_lens: Array
    query_lens: Array
    label: str = ""

    @property
    def count(self) -> int:
        return len(self.seq_lens)

    @property
    def tokens(self) -> int:
        return int(self.query_lens.sum())

    @property
    def starts(self) -> Array:
        """int32[requests + 1]: where the tokens of each request begin."""
        return np.concatenate([[0], np.cumsum(self.query_lens)]).astype(np.int32)

    @property
    def requests(self) -> Array:
        """int32[tokens]: the request of each token."""
        return np.repeat(np.arange(self.count), self.query_lens).astype(np.int32)

    @property
    def positions(self) -> Array:
        """int64[tokens]."""
        offset = np.arange(self.tokens) - self.starts[self.requests]
        return ((self.seq_lens - self.query_lens)[self.requests] + offset).astype(np.int64)


def uniform(rng: np.random.Generator, requests: int, query: int, most: int) -> Iterator[Rows]:
    """Steps in which every request has ``query`` tokens."""

    def rows(label: str, seq_lens: Any) -> Rows:
        lens = np.maximum(np.asarray(seq_lens, np.int32), query)
        return Rows(lens, np.full(len(lens), query, np.int32), label)

    def some(n: int) -> Array:
        return rng.integers(query, most + 1, n)

    near = np.arange(requests) * 128 + rng.integers(-1, 2, requests)
    yield rows("one request", some(1))
    yield rows("every row live", some(requests))
    yield rows("first tokens", np.full(requests, query))
    yield rows("around multiples of 128", near.clip(query, most))
    yield rows("whole pages", (np.arange(requests) * 16 + 16).clip(query, most))
    yield rows("one token short of a page", (np.arange(requests) * 16 + 15).clip(query, most))
    yield rows("capacity reached", np.full(requests, most))
    for _ in range(3):
        yield rows("random", some(int(rng.integers(1, requests + 1))))


def replayed(rng: np.random.Generator, requests: int, query: int, most: int) -> Iterator[Rows]:
    """The same as a graph replays them: with padding rows behind, which have no tokens."""
    for rows in uniform(rng, requests, query, most):
        padding = np.arange(int(rng.integers(rows.count, requests + 1))) >= rows.count
        lens = np.where(padding, 0, query).astype(np.int32)
        some = np.zeros(len(padding), np.int32)
        some[: rows.count] = rows.seq_lens
        yield Rows(some, lens, f"{rows.label}, {padding.sum()} padding rows")


def ragged(rng: np.random.Generator, requests: int, query: int, most: int) -> Iterator[Rows]:
    """The same with 1 to ``query`` tokens a request, and padding rows without any at the end."""
    for rows in uniform(rng, requests, query, most):
        lens = rng.integers(1, query + 1, rows.count).astype(np.int32)
        yield Rows(rows.seq_lens, lens, f"{rows.label}, ragged")
    for live in (1, requests - 1):
        some = rng.integers(query, most + 1, requests).astype(np.int32)
        lens = rng.integers(1, query + 1, requests).astype(np.int32)
        some[live:], lens[live:] = 0, 0
        yield Rows(some, lens, f"{requests - live} padding rows")


def verified(
    rng: np.random.Generator, requests: int, drafts: int, chunk: int, most: int
) -> Iterator[tuple[Rows, Array]]:
    """Steps with up to ``drafts`` draft tokens a request, and how many of them were rejected.

    One row in four is a prompt chunk of up to ``chunk`` tokens, which has no drafts. Every row has
    tokens: the engine's drafters write in front of a request that has none.
    """
    for at, rows in enumerate(ragged(rng, requests, drafts + 1, most)):
        if rows.query_lens.min() == 0:
            continue
        prompt = rng.random(rows.count) < 0.25
        lens = np.minimum(rng.integers(1, chunk + 1, rows.count), rows.seq_lens)
        lens = np.where(prompt, lens, rows.query_lens).astype(np.int32)
        room = np.where(prompt, 0, rows.query_lens - 1)
        how = ("some", "none", "all")[at % 3]
        rejected = dict(none=0 * room, all=room).get(how, rng.integers(0, room + 1))
        yield Rows(rows.seq_lens, lens, f"{rows.label}, {how} rejected"), rejected.astype(np.int32)


def served(requests: int, query: int) -> Rows:
    """Lengths as the benches take them: uniform in 100..16384, seed 0."""
    lens = np.random.default_rng(0).integers(100, 16385, requests).astype(np.int32)
    return Rows(lens, np.full(requests, query, np.int32), "as served")


def slots_of(rng: np.random.Generator, rows: Rows, padded: int, size: int) -> np.ndarray:
    """Slots, int64[tokens of the graph]: -1 for padding and for some tokens that write nothing."""
    slots = rng.integers(0, size, padded).astype(np.int64)
    slots[rng.random(padded) < 0.1] = -1
    slots[rows.tokens :] = -1
    return slots


def metadata(rows: Rows, given: Any, **fields: Any) -> Any:
    """The engine's CommonAttentionMetadata of ``rows``; ``given`` has its tensors by their names."""
    cls = vllm().module("v1/attention/backend.py").CommonAttentionMetadata
    every: dict[str, Any] = dict(
        query_start_loc=given.get("query_start_loc"),
        query_start_loc_cpu=torch.from_numpy(rows.starts),
        seq_lens=given.get("seq_lens"),
        num_reqs=rows.count,
        num_actual_tokens=rows.tokens,
        max_query_len=int(rows.query_lens.max()),
        max_seq_len=int(rows.seq_lens.max()),
        block_table_tensor=given.get("block_table"),
        slot_mapping=given.get("slot_mapping"),
        seq_lens_cpu_upper_bound=torch.from_numpy(rows.seq_lens),
        is_prefilling=torch.zeros(rows.count, dtype=torch.bool),
    )
    return cls(**(every | fields))


class HostBuffer:
    """The engine's pair of a host array and its copy on the device."""

    def __init__(self, cells: int, device: str, dtype: torch.dtype = torch.int32) -> None:
        self.cpu = torch.zeros(cells, dtype=dtype, pin_memory=device != "cpu")
        self.np = self.cpu.numpy()
        self.gpu = torch.zeros(cells, dtype=dtype, device=device)

    def copy_to_gpu(self, n: int | None = None) -> torch.Tensor:
        n = len(self.cpu) if n is None else n
        return self.gpu[:n].copy_(self.cpu[:n], non_blocking=True)


def build_all(
    rows: Rows,
    builders: Sequence[Any],
    given: Any,
    *,
    block_tables: Sequence[torch.Tensor],
    slot_mappings: Sequence[torch.Tensor],
    num_tokens: int | None = None,
    extra: Mapping[str, Any] | None = None,
    **fields: Any,
) -> list[Any]:
    """The metadata of every KV-cache group, from the engine's loop over them; ``extra`` goes to build."""
    starts = torch.from_numpy(rows.starts)
    groups = [
        SimpleNamespace(
            get_metadata_builder=lambda _, b=builder: b,
            kv_cache_spec=getattr(builder, "kv_cache_spec", None),
            layer_names=[g],
            build_metadata=lambda shared, _, b=builder, **k: b.build(0, shared, **k),
        )
        for g, builder in enumerate(builders)
    ]
    every: dict[str, Any] = dict(
        max_query_len=int(rows.query_lens.max()),
        max_seq_len=int(rows.seq_lens.max()),
        seq_lens_cpu_upper_bound=torch.from_numpy(rows.seq_lens),
        is_prefilling=torch.zeros(rows.count, dtype=torch.bool),
        model_specific_attn_metadata=SimpleNamespace(
            get_extra_common_attn_kwargs=lambda *_: {},
            get_extra_attn_kwargs=lambda *_: dict(extra or {}),
        ),
    )
    made = (
        vllm()
        .module("v1/worker/gpu/attn_utils.py")
        .build_attn_metadata(
            [[group] for group in groups],
            rows.count,
            rows.tokens if num_tokens is None else num_tokens,
            given["query_start_loc"],
            starts,
            seq_lens=given["seq_lens"],
            block_tables=block_tables,
            slot_mappings=slot_mappings,
            kv_cache_config=SimpleNamespace(kv_cache_groups=groups),
            **(every | fields),
        )
    )
    return [made[g] for g in range(len(groups))]
