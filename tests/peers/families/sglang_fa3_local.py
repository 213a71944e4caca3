# pyright: basic
"""Local attention with several query tokens: SGLang's own builder beside one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_fa3_local import sglang_fa3_local
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_fa3_parts import LOCAL, local_builder
from tests.peers.sglang_steps import Case


def queries(_: Any, inputs: Any, pool: Any, extra: Any, at: int) -> dict[str, Any]:
    most = np.minimum(inputs["seq_lens"], extra["most"])
    rng = np.random.default_rng(at + 1)
    return dict(query_lens=(rng.integers(1, most + 1) if at % 3 else most).astype(np.int32))


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
    Case(
        name="SGLang FA3 local attention, several query tokens",
        plan="sglang_fa3_local",
        replaces=(
            f"{LOCAL}:LocalAttentionMetadataBuilder.build",
            f"{LOCAL}:make_local_attention_virtual_batches",
        ),
        theirs=local,
        declare=lambda pool, extra: sglang_fa3_local(
            pool=pool, chunk=extra["chunk"], most=extra["most"]
        ),
        extra=dict(chunk=32, most=70),
        served=lambda query: dict(chunk=8192, most=max(query, 1)),
        add=queries,
        low=1,
        idle=False,
    ).peer(),
)
