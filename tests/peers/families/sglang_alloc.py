# pyright: basic
"""Paged allocation: SGLang's own allocator, positions and writes beside one launch for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch

from metaplan.plans.sglang_alloc import (
    sglang_alloc_decode,
    sglang_alloc_extend,
    sglang_write_slots,
)
from metaplan.plans.sglang_pool import Pool
from tests.peers.engine import Engine
from tests.peers.engines import sglang
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.sglang_parts import made, named, request_table, requests, rows_of, served
from tests.peers.sglang_steps import LARGE, REQ, SMALL

MOST = 40
ALLOCATION, PAGED = "srt/mem_cache/allocation.py", "srt/mem_cache/allocator/paged.py"
POSITION, UTILS = "kernels/ops/attention/position.py", "srt/utils/common.py"
Arrays = dict[str, Any]


def small() -> Pool:
    return Pool(**SMALL, page=16)


def large() -> Pool:
    return Pool(**LARGE, page=64, slots=1 << 22)


def free_pages(rng: np.random.Generator, pool: Pool) -> Arrays:
    """The free pages of a server in use: in no order, the first of them taken already."""
    numbers = rng.permutation(pool.slots // pool.page - 1).astype(np.int64) + 1
    return dict(free_pages=numbers, first_free=int(rng.integers(0, 4)))


def reads(rng: np.random.Generator, pool: Pool) -> Arrays:
    return dict(req_to_token=request_table(rng, pool.rows, pool.context, pool.page, pool.slots))


def extended(rng: np.random.Generator) -> Iterator[Batch]:
    pool = small()
    for at, (label, some) in enumerate(requests(rng, REQ, pool.page, pool.context, pool.rows)):
        most = np.minimum(some["seq_lens"], MOST)
        new = (rng.integers(0, most + 1), 0 * most, most, np.minimum(most, 1))[at % 4]
        inputs = {**some, "prefix_lens": some["seq_lens"] - new}
        inputs |= free_pages(rng, pool) | reads(rng, pool)
        yield Batch(inputs, {"req": len(new)}, label, dict(pool=pool))


def decoded(rng: np.random.Generator) -> Iterator[Batch]:
    pool = small()
    for label, some in requests(rng, REQ, pool.page, pool.context - 1, pool.rows):
        inputs = {**some, **free_pages(rng, pool), **reads(rng, pool)}
        yield Batch(inputs, {"req": len(some["seq_lens"])}, label, dict(pool=pool))


def written(rng: np.random.Generator) -> Iterator[Batch]:
    for batch in extended(rng):
        n = batch.live["req"]
        yield write(rng, batch.extra["pool"], batch.inputs, REQ * MOST, batch.label, n)


def write(
    rng: np.random.Generator, pool: Pool, inputs: Any, cells: int, label: str, n: int
) -> Batch:
    """The slots of a step, with garbage behind them."""
    slots = rng.integers(0, pool.slots, cells)
    found = dict(
        req_pool_indices=rows_of(rng, n, pool.rows),
        start_offset=inputs["prefix_lens"],
        end_offset=inputs["seq_lens"],
        out_cache_loc=slots,
        req_to_token=inputs["req_to_token"],
    )
    return Batch(found, {"req": n}, label, dict(pool=pool))


@cache
def counting() -> Any:
    """The engine's file that counts pages on the host; it needs nothing of the others."""
    known = {k: v for k, v in sglang().known.items() if not k.startswith("sglang.srt.utils")}
    return Engine("sglang", (UTILS,), known).module(UTILS)


def allocator(batch: Batch, given: Tensors, device: str, kernels: bool) -> tuple[Any, torch.Tensor]:
    module, pool = sglang().module(PAGED), batch.extra["pool"]
    module.get_num_new_pages = counting().get_num_new_pages
    free = given["free_pages"][int(batch.inputs["first_free"]) :]
    own = made(
        module.PagedTokenToKVPoolAllocator,
        page_size=pool.page,
        device=device,
        need_sort=False,
        debug_mode=False,
        use_triton_kernels=kernels,
        staged_pages=[],
        num_staged_pages=0,
    )
    return own, free


def extend(kernels: bool) -> Any:
    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        own, free = allocator(batch, given, device, kernels)
        allocation = sglang().module(ALLOCATION)
        prefix, end = given["prefix_lens"], given["seq_lens"]
        prefix_cpu, end_cpu = (
            torch.from_numpy(np.asarray(batch.inputs[n])) for n in ("prefix_lens", "seq_lens")
        )
        total = int((end_cpu - prefix_cpu).sum())
        last = allocation.get_last_loc_triton if kernels else allocation.get_last_loc_torch
        compute_position = sglang().module(POSITION).compute_position_triton
        extend_lens = end - prefix
        found: dict[str, Any] = {}

        def call() -> None:
            own.free_pages = free
            last_loc = last(given["req_to_token"], given["req_pool_indices"], prefix)
            found["out_cache_loc"] = own.alloc_extend(
                prefix, prefix_cpu, end, end_cpu, last_loc, total
            )
            positions, start = compute_position(prefix, extend_lens, total)
            found.update(positions=positions, extend_start_loc=start)

        def read() -> Mapping[str, Any]:
            return {**found, "num_new_pages": [len(free) - len(own.free_pages)]}

        return Theirs(call, read)

    return theirs


def decode(kernels: bool) -> Any:
    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        own, free = allocator(batch, given, device, kernels)
        allocation, lengths = sglang().module(ALLOCATION), given["seq_lens"]
        seq_lens_cpu = torch.from_numpy(np.asarray(batch.inputs["seq_lens"]))
        found: dict[str, Any] = {}

        def call() -> None:
            own.free_pages = free
            found["out_cache_loc"] = allocation.alloc_paged_token_slots_decode(
                named(token_to_kv_pool_allocator=own),
                lengths + 1,
                seq_lens_cpu + 1,
                given["req_to_token"][given["req_pool_indices"], lengths - 1],
            )

        def read() -> Mapping[str, Any]:
            return {**found, "num_new_pages": [len(free) - len(own.free_pages)]}

        return Theirs(call, read)

    return theirs


def writes(batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str) -> Theirs:
    table = given["req_to_token"].clone()
    rows = [given[n] for n in ("start_offset", "end_offset", "out_cache_loc")]

    def call() -> None:
        sglang().module(ALLOCATION).assign_req_to_token_pool_func(
            given["req_pool_indices"], table, *rows, batch.live["req"]
        )

    return Theirs(call, lambda: dict(req_to_token=table))


def bench(kind: str) -> Any:
    def at_full_size(count: int, query: int) -> tuple[Setup, Batch]:
        rng, pool = np.random.default_rng(0), large()
        inputs = {**served(rng, count), **reads(rng, pool)}
        sizes = {"req": count, "row": pool.rows, "tok": count * query, "context": pool.context}
        if kind != "decode":
            inputs["prefix_lens"] = inputs["seq_lens"] - query
        if kind == "write":
            batch = write(rng, pool, inputs, count * query, "", count)
            return Setup(lambda: sglang_write_slots(pool=pool, most=query), sizes), batch
        batch = Batch({**inputs, **free_pages(rng, pool)}, {"req": count}, extra=dict(pool=pool))
        if kind == "decode":
            return Setup(lambda: sglang_alloc_decode(pool=pool), {"req": count}), batch
        del sizes["context"]
        return Setup(lambda: sglang_alloc_extend(pool=pool, most=query), sizes), batch

    return at_full_size


EXTEND = (
    f"{ALLOCATION}:get_last_loc",
    f"{PAGED}:PagedTokenToKVPoolAllocator.alloc_extend",
    f"{UTILS}:get_num_new_pages",
    f"{POSITION}:compute_position_triton",
)
DECODE = (
    f"{ALLOCATION}:alloc_paged_token_slots_decode",
    f"{PAGED}:PagedTokenToKVPoolAllocator.alloc_decode",
    f"{UTILS}:get_num_new_pages",
)
KERNELS = "kernels/ops/memory/allocator.py"
PEERS = (
    Peer(
        name="SGLang paged allocation, extend",
        engine="sglang",
        plan="sglang_alloc_extend",
        replaces=(
            *EXTEND,
            f"{KERNELS}:alloc_extend_kernel",
            "kernels/ops/memory/common.py:get_last_loc_triton",
        ),
        setup=Setup(lambda: sglang_alloc_extend(pool=small(), most=MOST), {"req": REQ}),
        batches=extended,
        theirs=extend(kernels=True),
        bench=bench("extend"),
    ),
    Peer(
        name="SGLang paged allocation, extend in torch",
        engine="sglang",
        plan="sglang_alloc_extend",
        replaces=(*EXTEND, f"{PAGED}:alloc_extend_naive", f"{ALLOCATION}:get_last_loc_torch"),
        setup=Setup(lambda: sglang_alloc_extend(pool=small(), most=MOST), {"req": REQ}),
        batches=extended,
        theirs=extend(kernels=False),
        bench=bench("extend"),
    ),
    Peer(
        name="SGLang paged allocation, decode",
        engine="sglang",
        plan="sglang_alloc_decode",
        replaces=(*DECODE, f"{KERNELS}:alloc_decode_kernel"),
        setup=Setup(lambda: sglang_alloc_decode(pool=small()), {"req": REQ}),
        batches=decoded,
        theirs=decode(kernels=True),
        bench=bench("decode"),
    ),
    Peer(
        name="SGLang paged allocation, decode in torch",
        engine="sglang",
        plan="sglang_alloc_decode",
        replaces=(*DECODE, f"{PAGED}:alloc_decode_naive"),
        setup=Setup(lambda: sglang_alloc_decode(pool=small()), {"req": REQ}),
        batches=decoded,
        theirs=decode(kernels=False),
        bench=bench("decode"),
    ),
    Peer(
        name="SGLang writes of new slots",
        engine="sglang",
        plan="sglang_write_slots",
        replaces=(f"{ALLOCATION}:assign_req_to_token_pool_func",),
        setup=Setup(
            lambda: sglang_write_slots(pool=small(), most=MOST),
            {"req": REQ, "row": 9, "context": 160},
        ),
        batches=written,
        theirs=writes,
        bench=bench("write"),
    ),
)
