# pyright: basic
"""The schedules of attention kernels: the engines' own kernels of one program beside a launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import triton

from metaplan.lang.plan import Plan
from metaplan.plans.flash_mla import flash_mla_schedule
from metaplan.plans.schedules import (
    paged_mqa_schedule,
    step5_indexer,
)
from tests.peers.batches import lengths, served_lengths
from tests.peers.engines import sglang, vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs

REQ, MOST, PROCESSORS, SERVED = 9, 3000, 13, 32768
STEP5 = "models/step5/nvidia/ops/sparse_indexer.py"
DEEP_GEMM = "kernels/ops/attention/dsv4/attn.py"
FLASH_MLA = "kernels/ops/attention/dsv4/flashmla_sched_meta.py"
Before = Mapping[str, torch.Tensor]
Given = Callable[[np.random.Generator, np.ndarray], dict[str, np.ndarray]]


def batches(
    page: int, given: Given, least: int = 1, most: int = REQ
) -> Callable[..., Iterator[Batch]]:
    """Steps of ``least`` to ``most`` requests; each of the engines' kernels asks for one."""

    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        around = np.clip(page * (1 + np.arange(most) // 3) + np.arange(most) % 3 - 1, 0, MOST)
        short = rng.integers(0, 3, most)
        mixed = np.where(np.arange(most) % 4, short, MOST)
        for label, some in (
            *lengths(rng, most, page, MOST),
            ("around whole units", around.astype(np.int32)),
            ("short", short.astype(np.int32)),
            ("short among long", mixed.astype(np.int32)),
        ):
            if len(some) >= least:
                yield Batch(given(rng, some), {"req": len(some)}, label)

    return steps


def bench(declared: Callable[[int], Plan], given: Given) -> Callable[[int, int], Any]:
    """At full size: the capacity is the number of requests, the lengths are as served."""

    def at(requests: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        inputs = given(rng, served_lengths(rng, requests))
        return Setup(lambda: declared(requests), {"req": requests}), Batch(
            inputs, {"req": requests}
        )

    return at


def ints(device: str, *shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int32, device=device)


# ------------------------------------------------------------------- Step-5

PAGES = 4


def step5_given(rng: np.random.Generator, some: np.ndarray) -> dict[str, np.ndarray]:
    slots = rng.integers(0, 1 << 20, len(some))
    slots[rng.random(len(some)) < 0.2] = -1
    return dict(slot_mapping=slots.astype(np.int64), seq_lens=some)


def step5(processors: int) -> Callable[..., Theirs]:
    def theirs(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
        n, made = batch.live["req"], []
        mean = torch.zeros((4, 16, 256), dtype=torch.uint8, device=device)
        table = ints(device, n, 8)
        pack = vllm().module(STEP5).pack_decode_summary_pages
        sizes: Any = dict(num_sms=len(before["schedule"]) - 1)

        def call() -> None:
            made[:] = pack(
                mean, table, PAGES * 32, given["slot_mapping"], given["seq_lens"], **sizes
            )

        def read() -> Mapping[str, Any]:
            said = made[1]
            return dict(
                active=said.active,
                positions=said.positions,
                current=said.current,
                lengths=said.lengths,
                topk_lengths=said.topk_lengths,
                index_table=said.block_table,
                schedule=said.schedule,
            )

        return Theirs(call, read)

    return theirs


def step5_schedule(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    """Its schedule alone; the kernel counts regions of 8 tokens."""
    n, out = batch.live["req"], ints(device, *before["schedule"].shape)
    slots, tokens = torch.zeros_like(given["context_lens"]), given["context_lens"] * 8
    block, processors = triton.next_power_of_2(n), len(out) - 1
    kernel = vllm().module(STEP5)._emit_decode_schedule

    def call() -> None:
        room = triton.next_power_of_2(processors + 1)
        kernel[(1,)](slots, tokens, out, 1, 1, n, block, processors, room, n.bit_length())

    return Theirs(call, lambda: dict(schedule=out))


# ----------------------------------------------------------------- DeepGEMM


def context(rng: np.random.Generator, some: np.ndarray) -> dict[str, np.ndarray]:
    return dict(context_lens=some)


def deep_gemm(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    made: list[torch.Tensor] = []
    metadata = sglang().module(DEEP_GEMM).get_paged_mqa_logits_metadata
    processors = len(before["schedule"]) - 1

    def call() -> None:
        made[:] = [metadata(given["context_lens"], 64, processors)]

    return Theirs(call, lambda: dict(schedule=made[0]))


# ----------------------------------------------------------------- FlashMLA

TOPK, EXTRA, PARTS, FEW = 512, 1024, 3, 4


def dense(rng: np.random.Generator, some: np.ndarray) -> dict[str, np.ndarray]:
    return dict(seqlens_k=some)


def sparse(rng: np.random.Generator, some: np.ndarray) -> dict[str, np.ndarray]:
    return dict(
        topk_length=np.minimum(some, TOPK).astype(np.int32),
        extra_topk_length=np.minimum(some // 4, EXTRA).astype(np.int32),
    )


def flash_mla(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    n, selected = batch.live["req"], "topk_length" in batch.inputs
    schedule, splits = ints(device, *before["schedule"].shape), ints(device, n + 1)
    fill = sglang().module(FLASH_MLA).flashmla_sched_meta
    topk = dict(topk=TOPK, extra_topk=EXTRA) if selected else dict(topk=-1)

    def call() -> None:
        fill(schedule, splits, **given, block_size_n=64, fixed_overhead_num_blocks=5, **topk)

    return Theirs(call, lambda: dict(schedule=schedule, num_splits=splits))


def flash_mla_plan(parts: int, requests: int, most: int, selected: bool) -> Plan:
    return flash_mla_schedule(
        parts=parts,
        sparse=selected,
        extra=selected,
        max_requests=requests,
        max_keys=max(TOPK, EXTRA) if selected else most,
    )


def flash_mla_peer(name: str, given: Given, selected: bool, parts: int = PARTS) -> Peer:
    return Peer(
        name=name,
        engine="sglang",
        plan="flash_mla_schedule",
        replaces=(f"{FLASH_MLA}:flashmla_sched_meta",),
        setup=Setup(lambda: flash_mla_plan(parts, FEW, MOST, selected), {"req": FEW}),
        batches=batches(64, given, most=FEW),
        theirs=flash_mla,
        bench=bench(lambda n: flash_mla_plan(132, n, SERVED, selected), given),
    )


PEERS = (
    Peer(
        name="vLLM Step-5 indexer of a decode batch",
        engine="vllm",
        plan="step5_indexer",
        replaces=(f"{STEP5}:pack_decode_summary_pages", f"{STEP5}:_emit_decode_schedule"),
        setup=Setup(
            lambda: step5_indexer(processors=PROCESSORS, pages=PAGES, max_model_len=MOST),
            {"req": REQ},
        ),
        batches=batches(8, step5_given),
        theirs=step5(PROCESSORS),
        bench=bench(lambda n: step5_indexer(pages=PAGES, max_model_len=SERVED), step5_given),
    ),
    Peer(
        name="vLLM Step-5 schedule of paged logits",
        engine="vllm",
        plan="paged_mqa_schedule",
        replaces=(f"{STEP5}:_emit_decode_schedule", f"{STEP5}:_emit_indexer_schedule"),
        setup=Setup(
            lambda: paged_mqa_schedule(processors=PROCESSORS, first_more=True, max_model_len=MOST),
            {"req": REQ},
        ),
        batches=batches(256, context),
        theirs=step5_schedule,
        bench=bench(lambda n: paged_mqa_schedule(first_more=True, max_model_len=SERVED), context),
    ),
    Peer(
        name="SGLang DeepGEMM schedule of paged logits",
        engine="sglang",
        plan="paged_mqa_schedule",
        replaces=(f"{DEEP_GEMM}:get_paged_mqa_logits_metadata",),
        setup=Setup(
            lambda: paged_mqa_schedule(processors=PROCESSORS, max_model_len=MOST), {"req": REQ}
        ),
        batches=batches(256, context),
        theirs=deep_gemm,
        bench=bench(lambda n: paged_mqa_schedule(max_model_len=SERVED), context),
    ),
    flash_mla_peer("SGLang FlashMLA schedule", dense, False),
    flash_mla_peer("SGLang FlashMLA schedule of selected keys", sparse, True),
    flash_mla_peer("SGLang FlashMLA schedule, more parts than requests", dense, False, 3 * FEW),
    flash_mla_peer("SGLang FlashMLA schedule of selected keys, more parts", sparse, True, FEW),
)
