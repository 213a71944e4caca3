# pyright: basic
"""Prompts whole and a window of what was generated: SGLang's own replay preparation beside one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.sglang_pool import Pool
from metaplan.plans.sglang_prefill_window import sglang_prefill_window
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Tensors, Theirs
from tests.peers.sglang_fa3_parts import BACKEND, backend
from tests.peers.sglang_steps import Case, mode


def prompts(
    rng: np.random.Generator, inputs: Any, pool: Pool, extra: Any, at: int
) -> dict[str, Any]:
    most = extra["prefill"]
    some = (rng.integers(0, most + 1, pool.rows), np.zeros(pool.rows), np.full(pool.rows, most))
    return dict(prefill_lens=some[at % 3].astype(np.int32))


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    n, own = batch.live["req"], {k: x.clone() for k, x in before.items()}
    metadata = (
        sglang()
        .module(BACKEND)
        .FlashAttentionMetadata(
            cache_seqlens_int32=own["cache_seqlens"][:n], page_table=own["page_table"][:n]
        )
    )
    run = backend(
        batch,
        given,
        decode_cuda_graph_metadata={n: metadata},
        is_prefill_aware_swa=True,
        sliding_window_size=batch.extra["window"],
        _pa_swa_prefill_lens=given["prefill_lens"],
        _pa_swa_max_prefill_len=batch.extra["prefill"],
    )
    rows = (given["req_pool_indices"], given["seq_lens"])
    seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))

    def call() -> None:
        run._apply_cuda_graph_metadata(
            None, n, *rows, None, mode("decode_or_idle"), None, seq_lens_cpu
        )

    return Theirs(call, lambda: own)


def declare(pool: Pool, extra: Mapping[str, Any]) -> Plan:
    return sglang_prefill_window(
        window=extra["window"],
        prefill=extra["prefill"],
        context=pool.context,
        rows=pool.rows,
        slots=pool.slots,
    )


CASES = (
    Case(
        name="SGLang FA3 decode, prompts whole and a window",
        plan="sglang_prefill_window",
        replaces=(
            f"{BACKEND}:FlashAttentionBackend._apply_cuda_graph_metadata",
            "kernels/ops/attention/pa_page_table.py:_build_pa_page_table",
        ),
        theirs=theirs,
        declare=declare,
        pool=dict(page=1),
        extra=dict(window=16, prefill=70),
        served=lambda _: dict(window=1024, prefill=8192),
        add=prompts,
        low=1,
        idle=False,
    ),
)
PEERS = tuple(case.peer() for case in CASES)
