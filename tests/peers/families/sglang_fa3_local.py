# pyright: basic
"""Local attention with several query tokens: SGLang's own builder beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_fa3_local import sglang_fa3_local
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_fa3_parts import LOCAL, large, local_builder, peer, small

CHUNK, SERVED_CHUNK, MOST = 32, 8192, 70


def with_queries(batches: Any) -> Any:
    def queried(rng: np.random.Generator) -> Iterator[Batch]:
        for at, batch in enumerate(batches(rng)):
            most = np.minimum(batch.inputs["seq_lens"], MOST)
            queries = rng.integers(1, most + 1) if at % 3 else most
            more = dict(query_lens=queries.astype(np.int32))
            yield Batch({**batch.inputs, **more}, batch.live, batch.label, batch.extra)

    return queried


def local(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    """Local attention of an eager step, from a table of slots."""
    pool, seq_lens = batch.extra["pool"], given["seq_lens"]
    builder = local_builder(batch, device)
    longest = int(np.asarray(batch.inputs["seq_lens"]).max())
    queries = torch.cumsum(given["query_lens"], 0, dtype=torch.int32)
    cu_seqlens_q = torch.nn.functional.pad(queries, (1, 0))
    done: list[Any] = []

    def call() -> None:
        done[:] = [
            builder.build(
                cu_seqlens_q=cu_seqlens_q,
                cache_seqlens_int32=seq_lens.to(torch.int32),
                page_table=given["req_to_token"][given["req_pool_indices"], :longest],
                device=torch.device(device),
            )
        ]

    def read() -> Mapping[str, Any]:
        table, seen = done[0].local_block_table, done[0].local_seqused_k
        page = torch.arange(table.shape[1], device=device) * pool.page
        return dict(
            local_query_start_loc=done[0].local_query_start_loc,
            local_seqused_k=seen,
            # behind the pages of a row it repeats the last page that the longest row has
            local_block_table=(table, page < seen[:, None]),
        )

    return Theirs(call, read, captured=False)


PEERS = (
    peer(
        "SGLang FA3 local attention, several query tokens",
        "sglang_fa3_local",
        (
            f"{LOCAL}:LocalAttentionMetadataBuilder.build",
            f"{LOCAL}:make_local_attention_virtual_batches",
        ),
        local,
        declare=lambda pool, extra: sglang_fa3_local(pool=pool, chunk=extra["chunk"], most=MOST),
        small=small(),
        large=large(),
        low=1,
        idle=False,
        extra=dict(chunk=CHUNK),
        served=dict(chunk=SERVED_CHUNK),
        batches=with_queries,
        more=lambda count: dict(query_lens=np.full(count, MOST, np.int32)),
    ),
)
