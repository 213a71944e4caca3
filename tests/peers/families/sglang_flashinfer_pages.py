# pyright: basic
"""FlashInfer's slot lists from a table of pages: SGLang's packed reads beside one launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from metaplan.plans.sglang_flashinfer import sglang_flashinfer_pages
from tests.peers.batches import served_lengths, table
from tests.peers.engines import sglang
from tests.peers.families.sglang_flashinfer import (
    CONTEXT,
    PAGE,
    READER,
    REPLACED,
    REQ,
    SLOTS,
    batches,
)
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import SERVED, made, named


def paged(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in batches(rng):
        pages = table(rng, batch.live["req"], CONTEXT // PAGE, SLOTS // PAGE)
        inputs = dict(seq_lens=batch.inputs["seq_lens"], read_table=pages)
        yield Batch(inputs, batch.live, batch.label)


def pages(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    module, kinds = sglang().module(READER), sglang().module("srt/mem_cache/kv_loc_plan.py")
    n, read_table = batch.live["req"], given["read_table"]
    index_table = module.KVIndexTable(
        ids=read_table,
        row_ids=torch.arange(n, device=device),
        row_stride=read_table.stride(0),
        entry_page_size=PAGE,
        is_translated=True,
    )
    reader = made(
        module.KVIndexTranslator,
        req_to_token=read_table,
        _spaces={kinds.IdSpaceKind.FULL: kinds.IdSpace(key="full", read_v2p=read_table)},
    )
    plan = named(
        has_read_table=lambda *_, **__: True,
        is_read_by=lambda _: True,
        read_table=lambda **_: index_table,
    )
    kv_indptr = torch.zeros_like(before["kv_indptr"])[: n + 1]
    kv_indices = before["kv_indices"].clone()

    def call() -> None:
        kv_indptr[1:] = torch.cumsum(given["seq_lens"], dim=0)
        reader.pack_read_stream(
            plan,
            req_pool_indices=index_table.row_ids,
            seq_lens=given["seq_lens"],
            indptr=kv_indptr,
            out=kv_indices,
        )

    return Theirs(call, lambda: dict(kv_indptr=kv_indptr, kv_indices=kv_indices))


def pages_bench(count: int, query: int) -> tuple[Setup, Batch]:
    rng = np.random.default_rng(0)
    seq_lens = served_lengths(rng, count).astype(np.int64)
    inputs = dict(seq_lens=seq_lens, read_table=table(rng, count, SERVED // PAGE))
    setup = Setup(
        lambda: sglang_flashinfer_pages(page=PAGE, context=SERVED),
        {"req": count, "entry": max(int(seq_lens.sum()), SERVED)},
    )
    return setup, Batch(inputs, {"req": count})


PEERS = (
    Peer(
        name="SGLang FlashInfer slot lists from pages",
        engine="sglang",
        plan="sglang_flashinfer_pages",
        replaces=REPLACED,
        setup=Setup(
            lambda: sglang_flashinfer_pages(page=PAGE, context=CONTEXT, pages=SLOTS // PAGE),
            {"req": REQ},
        ),
        batches=paged,
        theirs=pages,
        bench=pages_bench,
    ),
)
