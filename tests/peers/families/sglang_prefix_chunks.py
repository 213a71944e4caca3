# pyright: basic
"""Chunks of cached prefixes: SGLang's own preparation of an MLA prefill beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_prefix_chunks import sglang_prefix_chunks
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    named,
    request_table,
    requests,
    served,
    translator,
)

REQ, WIDTH, POOL, CONTEXT, SLOTS, CAPACITY = 6, 6, 9, 160, 1 << 10, 96
SERVED_CAPACITY = 131072
MIXIN = "srt/model_executor/forward_batch_deepseek_mha_mixin.py"


def step(
    some: Mapping[str, Any], req_to_token: Any, capacity: int, single: bool, label: str = ""
) -> Batch:
    """The cells of the table of chunks that belong to no request have garbage behind them."""
    n, longest = len(some["seq_lens"]), int(some["seq_lens"].max())
    chunk_len = longest if single else capacity // n
    beyond = (0, max(WIDTH - n, 0))
    inputs = dict(
        requests=n,
        chunk_len=chunk_len,
        req_pool_indices=np.pad(some["req_pool_indices"], beyond, constant_values=1),
        prefix_lens=np.pad(some["seq_lens"], beyond, constant_values=7).astype(np.int32),
        req_to_token=req_to_token,
    )
    extra = dict(capacity=max(capacity, n * chunk_len), single=single)
    return Batch(inputs, {"chunk": -(-longest // chunk_len)}, label, extra)


def batches(rng: np.random.Generator) -> Iterator[Batch]:
    for at, (label, some) in enumerate(requests(rng, REQ, 16, CONTEXT, POOL)):
        if some["seq_lens"].any():  # without a prefix the engine makes nothing
            reads = request_table(rng, POOL, CONTEXT, slots=SLOTS)
            yield step(some, reads, CAPACITY, at % 4 == 2, label)


def bench(count: int, query: int) -> tuple[Setup, Batch]:
    rng = np.random.default_rng(0)
    batch = step(served(rng, count), request_table(rng, ROWS, SERVED), SERVED_CAPACITY, False)
    most = SERVED_CAPACITY // count
    sizes = {
        "chunk": batch.live["chunk"],
        "request": max(count, WIDTH),
        "entry": max(int(batch.inputs["prefix_lens"][:count].sum()), most),
        "row": ROWS,
    }
    setup = Setup(
        lambda: sglang_prefix_chunks(most=most, context=SERVED, rows=ROWS, slots=1 << 20), sizes
    )
    return setup, batch


def serve(pool: Any, reader: Any, req_to_token: torch.Tensor) -> None:
    """What the engine looks up while it runs a model: its pool, its reader, its request table."""
    module = sglang().module(MIXIN)
    module.get_token_to_kv_pool = lambda: pool
    module.get_attn_backend = lambda: named(kv_index_translator=reader)
    module.get_req_to_token_pool = lambda: named(req_to_token=req_to_token)
    module.filter_dcp_local_chunk_kv_indices = lambda indices, *_: indices


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    module, n = sglang().module(MIXIN), int(batch.inputs["requests"])
    pool = made(sglang().find("sglang.srt.mem_cache.memory_pool").MLATokenToKVPool)
    reader = translator(given["req_to_token"])
    reader.translate_dcp_read_ids = lambda ids: ids

    class Step(module.ForwardBatchDeepSeekMHAMixin):
        def get_max_chunk_capacity(self) -> int:
            return batch.extra["capacity"]

    prefix_lens_cpu = [int(x) for x in batch.inputs["prefix_lens"][:n]]
    done: list[Any] = []

    def call() -> None:
        own = made(
            Step,
            batch_size=n,
            extend_prefix_lens=given["prefix_lens"][:n],
            extend_prefix_lens_cpu=prefix_lens_cpu,
            req_pool_indices=given["req_pool_indices"][:n],
        )
        serve(pool, reader, given["req_to_token"])
        own.prepare_chunked_prefix_cache_info(
            torch.device(device), pack_all_prefix_chunks=True, single_chunk=batch.extra["single"]
        )
        done[:] = [own]

    def read() -> Mapping[str, Any]:
        own = done[0]
        return dict(
            chunk_starts=own.prefix_chunk_starts,
            chunk_seq_lens=own.prefix_chunk_seq_lens,
            chunk_cu_seq_lens=own.prefix_chunk_cu_seq_lens[:, :n],
            chunk_num_tokens=own.prefix_chunk_cu_seq_lens[:, n],
            kv_indices=own.prefix_all_kv_indices,
        )

    return Theirs(call, read, captured=False)


PEERS = (
    Peer(
        name="SGLang chunks of cached prefixes",
        engine="sglang",
        plan="sglang_prefix_chunks",
        replaces=(
            f"{MIXIN}:ForwardBatchDeepSeekMHAMixin.prepare_chunked_prefix_cache_info",
            f"{MIXIN}:ForwardBatchDeepSeekMHAMixin.prepare_chunked_kv_indices",
            "kernels/ops/attention/kv_indices.py:create_chunked_prefix_cache_kv_indices",
        ),
        setup=Setup(
            lambda: sglang_prefix_chunks(most=CONTEXT, context=CONTEXT, rows=POOL, slots=SLOTS),
            {"chunk": 10, "request": WIDTH},
        ),
        batches=batches,
        theirs=theirs,
        bench=bench,
    ),
)
