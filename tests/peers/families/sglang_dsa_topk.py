# pyright: basic
"""Slots of the tokens that DSA's indexer chose: SGLang's lookup and padding beside one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_dsa import sglang_dsa_topk
from tests.peers.engines import sglang
from tests.peers.families.sglang_dsa import BACKEND, LONGEST, POOL, QUERY, REQ, SLOTS, batches
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import ROWS, SERVED, made, named, request_table, served

LOOKUP = "kernels/ops/attention/dsa/transform_index.py"


def chosen(rng: np.random.Generator, seq_lens: np.ndarray, query: int, topk: int) -> np.ndarray:
    """What an indexer chooses, int32[req, query, topk]: -1 where a request has no more tokens, and anywhere."""
    picked = rng.integers(0, np.maximum(seq_lens, 1)[:, None, None], (len(seq_lens), query, topk))
    there = np.arange(topk) < np.minimum(seq_lens, topk)[:, None, None]
    return np.where(there & (rng.random(picked.shape) < 0.9), picked, -1).astype(np.int32)


def looked_up(topk: int) -> Callable[[np.random.Generator], Iterator[Batch]]:
    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        for batch in batches({})(rng):
            inputs = dict(batch.inputs)
            picked = chosen(rng, inputs.pop("seq_lens"), QUERY, topk)
            yield Batch({**inputs, "topk_indices": picked}, batch.live, batch.label)

    return steps


def lookup_bench(topk: int, lengths: bool) -> Callable[[int, int], tuple[Setup, Batch]]:
    def at(count: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        some = served(rng, count)
        picked = chosen(rng, some.pop("seq_lens"), query, topk)
        inputs = {**some, "req_to_token": request_table(rng, ROWS, SERVED), "topk_indices": picked}
        plan = lambda: sglang_dsa_topk(  # noqa: E731
            topk=topk, query=query, lengths=lengths, max_model_len=SERVED, states=ROWS
        )
        sizes = {"req": count, "state": ROWS, "context": SERVED}
        return Setup(plan, sizes), Batch(inputs, {"req": count})

    return at


def lookup(lengths: bool) -> Any:
    """A layer's lookup in the table with a column a token; the backend then pads and counts its rows."""

    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        module, found = sglang().module(LOOKUP), named()
        n, query, topk = given["topk_indices"].shape
        picked = given["topk_indices"].view(n * query, topk)
        rows = given["req_pool_indices"].repeat_interleave(query)
        table = given["req_to_token"][rows].contiguous()
        own = made(sglang().module(BACKEND).DeepseekSparseAttnBackend)

        def call() -> None:
            slots = module.transform_index_page_table_decode(table, picked)
            found.slots, _ = own._pad_trtllm_sparse_page_table(slots)
            if lengths:
                found.lens = module.prepare_trtllm_nope_sparse_metadata(found.slots)

        def read() -> Mapping[str, Any]:
            said = dict(page_table_1=found.slots)
            return {**said, "topk_lens": found.lens.view(n, query)} if lengths else said

        return Theirs(call, read)

    return theirs


def lookup_peer(name: str, topk: int, lengths: bool) -> Peer:
    more = ("prepare_trtllm_nope_sparse_metadata",) if lengths else ()
    return Peer(
        name=name,
        engine="sglang",
        plan="sglang_dsa_topk",
        replaces=(
            f"{BACKEND}:DeepseekSparseAttnBackend._pad_trtllm_sparse_page_table",
            *(f"{LOOKUP}:{k}" for k in ("transform_index_page_table_decode", *more)),
        ),
        setup=Setup(
            lambda: sglang_dsa_topk(
                topk=topk,
                query=QUERY,
                lengths=lengths,
                max_model_len=LONGEST,
                states=POOL,
                slots=SLOTS,
            ),
            {"req": REQ, "state": POOL, "context": LONGEST},
        ),
        batches=looked_up(topk),
        theirs=lookup(lengths),
        bench=lookup_bench(2048 if topk % 2 == 0 else 2051, lengths),
    )


PEERS = (
    lookup_peer("SGLang DSA slots of chosen tokens", 46, lengths=False),
    lookup_peer("SGLang DSA slots of chosen tokens, counted", 43, lengths=True),
)
