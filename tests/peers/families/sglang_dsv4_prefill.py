# pyright: basic
"""DeepSeek-V4's sparse prefill: SGLang's own chunk cache beside a launch a chunk and one a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_dsv4_prefill import (
    sglang_dsv4_combine,
    sglang_dsv4_prefill,
    sglang_dsv4_tail,
)
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import (
    ROWS,
    SERVED,
    made,
    moved,
    named,
    request_table,
    requests,
    served,
)

REQ, POOL, LONGEST, SLOTS, PAGE, WINDOW, MOST, TOPK = 3, 5, 700, 1 << 13, 256, 16, 10, 40
CACHE = "srt/layers/attention/dsv4/sparse_prefill_utils.py"
KERNELS = "kernels/ops/attention/dsv4/sparse_prefill_kernels.py"
TRTLLM = "kernels/ops/attention/dsv4/trtllm_metadata.py"
Inputs = dict[str, Any]


def chunk(rng: np.random.Generator, some: Mapping[str, np.ndarray], most: int) -> Inputs:
    """The lengths of a chunk; a request has one new token at least."""
    seq_lens = np.maximum(some["seq_lens"], 1).astype(np.int32)
    new = rng.integers(1, np.minimum(seq_lens, most) + 1).astype(np.int32)
    return dict(seq_lens=seq_lens, extend_seq_lens=new)


def chunks(rng: np.random.Generator) -> Iterator[tuple[str, Inputs, np.ndarray]]:
    for label, some in requests(rng, REQ, PAGE, LONGEST, POOL, low=1):
        if len(some["seq_lens"]):
            own = chunk(rng, some, MOST)
            whole = np.minimum(own["seq_lens"], MOST)
            if "capacity" in label or "whole" in label:
                own["extend_seq_lens"] = whole
            yield label, own, some["req_pool_indices"].astype(np.int32)


def gathers(rng: np.random.Generator) -> Iterator[Batch]:
    for label, own, rows in [*chunks(rng)][::2]:  # the engine has 128 programs a request
        inputs = dict(
            **own,
            req_pool_indices=rows,
            req_to_token=request_table(rng, POOL, LONGEST, PAGE, SLOTS),
            full_to_swa=moved(rng, SLOTS, PAGE),
            max_seq_len=int(own["seq_lens"].max()),
        )
        yield Batch(inputs, {"req": len(rows)}, label)


def layers(rng: np.random.Generator) -> Iterator[Batch]:
    for label, own, rows in chunks(rng):
        yield layer(rng, label, own, len(rows), TOPK, REQ * MOST)


def layer(rng: np.random.Generator, label: str, own: Inputs, n: int, topk: int, room: int) -> Batch:
    """What an indexer has chosen for each token of a chunk; rows behind them are padding."""
    rows = int(own["extend_seq_lens"].sum())
    chosen = rng.integers(-1, LONGEST // 4, (room, topk)).astype(np.int32)
    inputs = dict(
        **own,
        topk_indices=chosen,
        compressed_base=rng.integers(0, 1 << 16, n).astype(np.int32),
        swa_base=rng.integers(0, 1 << 16, n).astype(np.int32),
        padded_tokens=min(rows + 3, room),
    )
    return Batch(inputs, {"req": n}, label)


def tails(rng: np.random.Generator) -> Iterator[Batch]:
    for rows in (1, 3, 8):  # without rows the engine does nothing
        yield tail(rng, rows, TOPK, "rows of indices")


def tail(rng: np.random.Generator, rows: int, topk: int, label: str = "") -> Batch:
    inputs = dict(
        indices=rng.integers(-1, 1 << 16, (rows, topk)).astype(np.int32),
        lengths=rng.integers(0, topk + 1, rows).astype(np.int32),
    )
    return Batch(inputs, {"tok": rows}, label)


def starts(lens: torch.Tensor) -> torch.Tensor:
    """int32[req + 1], where each row begins, and the total."""
    return torch.nn.functional.pad(torch.cumsum(lens, 0, dtype=torch.int32), (1, 0))


def places(given: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """The request and the position of each token."""
    lens = given["extend_seq_lens"].long()
    of = torch.repeat_interleave(torch.arange(len(lens), device=lens.device), lens)
    back = torch.arange(len(of), device=lens.device) - starts(given["extend_seq_lens"])[of]
    return of, (given["seq_lens"] - given["extend_seq_lens"])[of] + back.int()


def gathered(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, found = sglang().module(CACHE), named()
    own = batch.inputs
    window = batch.extra.get("window", WINDOW)
    seq_lens_cpu = np.asarray(own["seq_lens"]).tolist()
    gather = np.minimum(own["seq_lens"], own["extend_seq_lens"] + window - 1)
    of, pos = places(given)
    pages = given["req_to_token"][given["req_pool_indices"].long()][:, ::PAGE] // PAGE
    table = pages[of]
    held, column = PAGE // 128, torch.arange(pages.shape[1] * (PAGE // 128), device=device)
    whole = table[:, column // held] * held + column % held
    whole = torch.where(column[None] < ((pos + 1) // 128)[:, None], whole, -1).int()

    def call() -> None:
        cache = module.SparsePrefillChunkCache.build(
            seq_lens=given["seq_lens"],
            extend_seq_lens=given["extend_seq_lens"],
            query_lens=given["extend_seq_lens"],
            query_pos=pos,
            req_pool_indices=given["req_pool_indices"],
            req_to_token=given["req_to_token"],
            full_to_swa=given["full_to_swa"],
            swa_window_size=window,
            swa_page_size=PAGE,
            num_qo_tokens=len(of),
            max_seq_len=own["max_seq_len"],
            total_swa=int(gather.sum()),
            seq_lens_cpu=seq_lens_cpu,
        )
        found.cache = cache
        found.c4 = cache.ensure_compressed(4, table, PAGE // 4)
        found.c128 = cache.ensure_c128(whole)

    def read() -> Mapping[str, Any]:
        cache, c4, c128 = found.cache, found.c4, found.c128
        return dict(
            query_start_loc=cache.query_start_loc,
            query_pos=cache.query_pos,
            swa_first_pos=cache.swa_first_pos,
            swa_gather_lens=cache.swa_gather_lens,
            swa_offsets=cache.swa_offsets,
            swa_token_ids=cache.swa_token_ids,
            c0_combined_indices=cache.c0_combined_indices,
            c0_combined_lens=cache.c0_combined_lens,
            c4_compressed_base=c4.compressed_base,
            c4_swa_base=c4.swa_base,
            c4_token_ids=c4.flat_token_ids,
            c128_compressed_base=c128.compressed_base,
            c128_swa_base=c128.swa_base,
            c128_token_ids=c128.flat_token_ids,
            c128_combined_indices=c128.combined_indices,
            c128_combined_lens=c128.combined_lens,
        )

    # Lengths go from the host to the device in the call.
    return Theirs(call, read, captured=False)


def combined(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    module, rows = sglang().module(CACHE), int(batch.inputs["padded_tokens"])
    window, ratio = batch.extra.get("window", WINDOW), 4
    _, pos = places(given)
    pos = torch.nn.functional.pad(pos, (0, rows - len(pos)))
    lens, new = given["seq_lens"], given["extend_seq_lens"]
    cache = made(
        module.SparsePrefillChunkCache,
        num_qo_tokens=rows,
        swa_window_size=window,
        seq_lens=lens,
        query_start_loc=starts(new),
        query_pos=pos,
        swa_gather_lens=torch.minimum(lens, new + window - 1),
        compressed={
            ratio: module.CompressedGather(None, given["compressed_base"], given["swa_base"])
        },
        low_ratio_combined={},
        swa_indices=None,
        swa_lengths=None,
    )
    found, chosen = named(), given["topk_indices"][:rows]

    def call() -> None:
        found.indices, found.lens = cache.combine_compressed(ratio, chosen)

    return Theirs(call, lambda: dict(combined_indices=found.indices, combined_lens=found.lens))


def packed(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    rows, width = given["indices"].shape
    table, lengths = before["table"][:rows].clone(), before["total_lengths"][:rows].clone()
    kernel = sglang().module(TRTLLM).pack_sparse_tail

    def call() -> None:
        kernel(given["indices"], given["lengths"], table, lengths, table.shape[1] - width)

    return Theirs(call, lambda: dict(table=table, total_lengths=lengths))


def gather_bench(count: int, query: int) -> tuple[Setup, Batch]:
    """Chunks of 128 tokens a request, 64 requests at most: a chunk has 8192 tokens."""
    rng, n = np.random.default_rng(0), min(count, 64)
    some = served(rng, n)
    new = np.minimum(some["seq_lens"], 128).astype(np.int32)
    inputs = dict(
        seq_lens=some["seq_lens"].astype(np.int32),
        extend_seq_lens=new,
        req_pool_indices=some["req_pool_indices"].astype(np.int32),
        req_to_token=request_table(rng, ROWS, SERVED, PAGE),
        full_to_swa=moved(rng, 1 << 20, PAGE),
        max_seq_len=int(some["seq_lens"].max()),
    )
    given = dict(max_model_len=SERVED, states=ROWS, slots=1 << 20, most=8192)
    sizes = {"req": n, "tok": 8192, "state": ROWS, "context": SERVED, "slot": (1 << 20) + PAGE + 1}
    setup = Setup(lambda: sglang_dsv4_prefill(**given), sizes)
    return setup, Batch(inputs, {"req": n}, extra=dict(window=128))


def layer_bench(count: int, query: int) -> tuple[Setup, Batch]:
    rng, n = np.random.default_rng(0), min(count, 64)
    seq_lens = served(rng, n)["seq_lens"].astype(np.int32)
    own = dict(seq_lens=seq_lens, extend_seq_lens=np.minimum(seq_lens, 128))
    batch = layer(rng, "", own, n, 512, 8192)
    setup = Setup(lambda: sglang_dsv4_combine(max_model_len=SERVED), {"req": n, "tok": 8192})
    return setup, Batch(batch.inputs, batch.live, extra=dict(window=128))


def tail_bench(count: int, query: int) -> tuple[Setup, Batch]:
    rows = count * query
    return Setup(sglang_dsv4_tail, {"tok": rows}), tail(np.random.default_rng(0), rows, 512)


SETUP = dict(window=WINDOW, most=MOST, max_model_len=LONGEST)
PEERS = (
    Peer(
        name="SGLang DeepSeek-V4 sparse prefill of a chunk",
        engine="sglang",
        plan="sglang_dsv4_prefill",
        replaces=(
            f"{CACHE}:SparsePrefillChunkCache.build",
            f"{CACHE}:SparsePrefillChunkCache.ensure_compressed",
            f"{CACHE}:SparsePrefillChunkCache.ensure_c128",
            f"{KERNELS}:build_swa_token_ids",
            f"{KERNELS}:combine_topk_swa_indices",
        ),
        setup=Setup(
            lambda: sglang_dsv4_prefill(states=POOL, slots=SLOTS, **SETUP),
            {"req": REQ, "state": POOL, "context": LONGEST, "slot": SLOTS + PAGE + 1},
        ),
        batches=gathers,
        theirs=gathered,
        bench=gather_bench,
    ),
    Peer(
        name="SGLang DeepSeek-V4 sparse prefill of a layer",
        engine="sglang",
        plan="sglang_dsv4_combine",
        replaces=(
            f"{CACHE}:SparsePrefillChunkCache.combine_compressed",
            f"{KERNELS}:combine_topk_swa_indices",
        ),
        setup=Setup(lambda: sglang_dsv4_combine(topk=TOPK, **SETUP), {"req": REQ}),
        batches=layers,
        theirs=combined,
        bench=layer_bench,
    ),
    Peer(
        name="SGLang DeepSeek-V4 tail of a layer for TRT-LLM",
        engine="sglang",
        plan="sglang_dsv4_tail",
        replaces=(f"{TRTLLM}:pack_sparse_tail",),
        setup=Setup(lambda: sglang_dsv4_tail(topk=TOPK, window=WINDOW), {"tok": 8}),
        batches=tails,
        theirs=packed,
        bench=tail_bench,
    ),
)
