# pyright: basic
"""What SGLang's own code is given: a request table, and objects with the few fields that a call reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.peers.batches import Array, lengths, served_lengths
from tests.peers.engines import sglang

SERVED, ROWS = 32768, 1025  # of the benches: the longest sequence, and rows of the request table


def request_table(
    rng: np.random.Generator, rows: int, context: int, page: int = 1, slots: int = 1 << 20
) -> Array:
    """Slots of every token, int32[rows, context]: random pages, whose slots follow each other."""
    pages = rng.integers(1, slots // page, (rows, -(-context // page)), dtype=np.int32)
    slot = pages[:, :, None] * page + np.arange(page, dtype=np.int32)
    return np.ascontiguousarray(slot.reshape(rows, -1)[:, :context])


def rows_of(rng: np.random.Generator, requests: int, rows: int) -> Array:
    """The row of each request, int64[requests]: all different; row 0 is the padding's."""
    return rng.permutation(rows - 1)[:requests].astype(np.int64) + 1


def moved(rng: np.random.Generator, slots: int, page: int = 1) -> Array:
    """Where a slot lies in the window layers' pool, int64[slots + page + 1]: 0 if evicted; last -1."""
    pages = rng.integers(0, slots // page, slots // page + 1, dtype=np.int64)
    slot = np.where(pages[:, None] > 0, pages[:, None] * page + np.arange(page), 0)
    return np.append(slot.reshape(-1), -1)


def requests(
    rng: np.random.Generator, most: int, page: int, context: int, rows: int, low: int = 0
) -> Iterator[tuple[str, dict[str, Array]]]:
    """Batches of ``req_pool_indices`` and ``seq_lens`` in low..context, and what is special of them."""
    for label, some in lengths(rng, most, page, context):
        seq_lens = np.maximum(some, low).astype(np.int64)
        yield label, dict(req_pool_indices=rows_of(rng, len(some), rows), seq_lens=seq_lens)
    around = np.clip(128 * (1 + np.arange(most) // 3) + np.arange(most) % 3 - 1, low, context)
    yield (
        "around multiples of 128",
        dict(req_pool_indices=rows_of(rng, most, rows), seq_lens=around.astype(np.int64)),
    )
    padded = np.ones(most, np.int64)
    padded[:2] = rng.integers(max(low, 1), context + 1, 2)
    row = rows_of(rng, most, rows)
    row[2:] = 0
    yield "padding rows", dict(req_pool_indices=row, seq_lens=padded)


def served(rng: np.random.Generator, count: int) -> dict[str, Array]:
    """The same as served, for the benches."""
    return dict(
        req_pool_indices=rows_of(rng, count, ROWS),
        seq_lens=served_lengths(rng, count).astype(np.int64),
    )


def made(cls: Any, **fields: Any) -> Any:
    """An instance of an engine's class with these fields alone: its constructor is not run."""
    one = object.__new__(cls)
    one.__dict__.update(fields)
    return one


def translator(req_to_token: torch.Tensor, given: Mapping[str, Any] | None = None) -> Any:
    """The engine's reader of request tables; of virtual ones where ``given`` has places of pages."""
    module = sglang().module("srt/mem_cache/kv_index_translator.py")
    kinds = sglang().module("srt/mem_cache/kv_loc_plan.py")
    places = {"full_v2p": kinds.IdSpaceKind.FULL, "swa_v2p": kinds.IdSpaceKind.SLIDING_WINDOW}
    tables = given or {}
    found = {kind: tables[name] for name, kind in places.items() if name in tables}
    spaces = {kinds.IdSpaceKind.FULL: None} | found
    return made(
        module.KVIndexTranslator,
        req_to_token=req_to_token,
        page_size=1,
        is_translating=bool(found),
        defer_read_translate=False,
        _spaces={kind: kinds.IdSpace(key=str(kind), read_v2p=v2p) for kind, v2p in spaces.items()},
    )


def window_pool(full_to_swa: torch.Tensor) -> Any:
    """The pool of sliding-window layers: it knows where a slot lies in it."""
    pool = sglang().module("srt/mem_cache/swa_memory_pool.py").SWAKVPool
    return made(pool, full_to_swa_index_mapping=full_to_swa)


def nothing(*_: Any, **__: Any) -> None:
    """A call into a compiled library that this comparison leaves out."""


def named(**fields: Any) -> Any:
    return SimpleNamespace(**fields)
