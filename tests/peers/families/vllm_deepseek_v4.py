# pyright: basic
"""DeepSeek-V4: the builders of all its cache groups, called by the engine's loop, beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.vllm_deepseek_v4 import vllm_deepseek_v4
from metaplan.plans.vllm_sparse import Compressed, Window
from tests.peers.batches import table
from tests.peers.families.vllm_indexer import INDEXER, keys_builder, keys_found
from tests.peers.families.vllm_sparse import (
    ATTN_UTILS,
    SPARSE,
    STATES,
    padded_positions,
    states,
    states_builder,
    window_builder,
    windows,
    without_padding,
)
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import Rows, build_all, ragged, replayed, served, slots_of

REQ, QUERY, MODEL_LEN, SERVED = 5, 3, 20480, 32768
WINDOWS, GROUPS, KEYS = (Window(64, 128),), (Compressed(4), Compressed(128)), Compressed(4)


def step(
    rng: np.random.Generator, rows: Rows, padded: int, capacity: int, query: int, model_len: int
) -> Batch:
    lists = windows(rng, rows, WINDOWS, padded, capacity, model_len, query=query)
    compressed = states(rng, rows, GROUPS, padded, capacity, model_len)
    slots = np.full(capacity, -1, np.int64)
    slots[:padded] = slots_of(rng, rows, padded, 1 << 20)
    keys = dict(
        slot_mapping_keys=slots, block_table_keys=table(rng, rows.count, model_len // KEYS.page)
    )
    of = dict(ratio=KEYS.ratio, page=KEYS.states, way="any length", query=query)
    extra = dict(rows=rows, padded=padded, capacity=capacity, **of)
    inputs = {**lists.inputs, **compressed.inputs, **keys}
    return Batch(inputs, {"req": rows.count}, rows.label, extra)


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    of, made = batch.extra, {n: b.clone() for n, b in before.items()}
    rows, padded, query = of["rows"], of["padded"], of["query"]
    builders = [window_builder(group, query, made, g, device) for g, group in enumerate(WINDOWS)]
    builders += [states_builder(group, query, made, device) for group in GROUPS]
    builders.append(keys_builder(of, made, given["block_table_keys"].shape[1], device))
    suffixes = [str(g) for g in range(len(WINDOWS))]
    suffixes += [*(f"c{group.ratio}" for group in GROUPS), "keys"]
    positions = padded_positions(rows, padded, device)
    found: dict[str, Any] = dict(made)

    def call() -> None:
        steps = build_all(
            rows,
            builders,
            given,
            block_tables=[given[f"block_table_{s}"] for s in suffixes],
            slot_mappings=[given[f"slot_mapping_{s}"][:padded] for s in suffixes],
            num_tokens=padded,
            positions=positions,
        )
        keys_found(of, steps[-1], found)
        lists = made["c128a_decode_topk_indices"]
        found["c128a_decode_topk_indices"] = without_padding(lists, rows, padded)

    return Theirs(call, lambda: found)


def setup(requests: int, query: int, tokens: int, model_len: int) -> Setup:
    def declared() -> Any:
        return vllm_deepseek_v4(
            windows=WINDOWS, states=GROUPS, keys=KEYS, query=query, max_model_len=model_len
        )

    pages = {f"page_{g}": model_len // group.page for g, group in enumerate(WINDOWS)}
    pages |= {f"page_c{group.ratio}": model_len // group.page for group in GROUPS}
    pages["page_keys"] = model_len // KEYS.page
    return Setup(declared, {"req": requests, "tok": tokens, "token": tokens, **pages})


def batches(rng: np.random.Generator) -> Iterator[Batch]:
    capacity = REQ * QUERY
    for kind in (replayed, ragged):
        for at, rows in enumerate(kind(rng, REQ, QUERY, MODEL_LEN)):
            if at % 2:
                continue
            padded = rows.tokens
            if kind is ragged:
                padded = int(rng.integers(rows.tokens, capacity + 1))
            yield step(rng, rows, padded, capacity, QUERY, MODEL_LEN)


def bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rows = served(requests, query)
    batch = step(np.random.default_rng(0), rows, rows.tokens, rows.tokens, query, SERVED)
    return setup(requests, query, rows.tokens, SERVED), batch


PEERS = (
    Peer(
        name="vLLM DeepSeek-V4 step",
        engine="vllm",
        plan="vllm_deepseek_v4",
        replaces=(
            f"{ATTN_UTILS}:build_attn_metadata",
            f"{SPARSE}:DeepseekSparseSWAMetadataBuilder.build",
            f"{STATES}:DeepseekV4SparseMLAMetadataBuilder.build",
            f"{INDEXER}:DeepseekV32IndexerMetadataBuilder.build",
        ),
        setup=setup(REQ, QUERY, REQ * QUERY, MODEL_LEN),
        batches=batches,
        theirs=theirs,
        bench=bench,
    ),
)
