# pyright: basic
"""FlashInfer's page lists: vLLM's own builder method beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.lang.plan import Plan
from metaplan.plans.vllm_flashinfer import vllm_flashinfer
from tests.peers.batches import lengths, served_lengths, table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs

PAGE, REQ, WIDTH = 16, 6, 10
SERVED = 32768
BUILDER = "v1/attention/backends/flashinfer.py"


def declared(width: int) -> Plan:
    return vllm_flashinfer(page=PAGE, max_model_len=width * PAGE)


def batches(rng: np.random.Generator) -> Iterator[Batch]:
    for label, seq_lens in lengths(rng, REQ, PAGE, WIDTH * PAGE):
        pages = table(rng, REQ, WIDTH)
        yield Batch(dict(seq_lens=seq_lens, block_table=pages), {"req": len(seq_lens)}, label)


def bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rng = np.random.default_rng(0)
    seq_lens, width = served_lengths(rng, requests), SERVED // PAGE
    pages = table(rng, requests, width)
    setup = Setup(lambda: declared(width), {"req": requests, "page": width})
    return setup, Batch(dict(seq_lens=seq_lens, block_table=pages), {"req": requests})


class Buffer:
    """The engine's pair of a host array and its copy on the device."""

    def __init__(self, cells: int, device: str) -> None:
        self.cpu = torch.zeros(cells, dtype=torch.int32, pin_memory=device != "cpu")
        self.np = self.cpu.numpy()
        self.gpu = torch.zeros(cells, dtype=torch.int32, device=device)

    def copy_to_gpu(self, n: int) -> torch.Tensor:
        return self.gpu[:n].copy_(self.cpu[:n], non_blocking=True)


def theirs(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    builder: Any = SimpleNamespace(
        paged_kv_indptr=Buffer(batch.live["req"] + 1, device),
        paged_kv_last_page_len=Buffer(batch.live["req"], device),
        paged_kv_indices=before["paged_kv_indices"].clone(),
    )
    method = vllm().module(BUILDER).FlashInferMetadataBuilder._compute_flashinfer_kv_metadata
    seq_lens = np.asarray(batch.inputs["seq_lens"])
    n = batch.live["req"]

    def call() -> None:
        blocks = -(-seq_lens // PAGE)
        method(builder, blocks, seq_lens, given["block_table"], n, PAGE)

    def read() -> Mapping[str, Any]:
        return dict(
            paged_kv_indptr=builder.paged_kv_indptr.gpu,
            paged_kv_indices=builder.paged_kv_indices,
            paged_kv_last_page_len=builder.paged_kv_last_page_len.gpu,
        )

    return Theirs(call, read, captured=False)


PEERS = (
    Peer(
        name="vLLM FlashInfer page lists",
        engine="vllm",
        plan="vllm_flashinfer",
        replaces=(
            f"{BUILDER}:FlashInferMetadataBuilder._compute_flashinfer_kv_metadata",
            f"{BUILDER}:_copy_page_indices_kernel",
        ),
        setup=Setup(lambda: declared(WIDTH), {"req": REQ, "page": WIDTH}),
        batches=batches,
        theirs=theirs,
        bench=bench,
    ),
)
