# pyright: basic
"""Choices of experts in blocks: vLLM's operator, SGLang's Triton kernels, beside two or three launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch

from metaplan.plans.moe import batched_moe_align, expert_tokens, moe_align
from tests.peers.engines import sglang, vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs

TOK, EXPERTS, TOP_K, BLOCK = 9, 11, 3, 4
SERVED: dict[str, Any] = dict(experts=256, top_k=8, block=64)
VLLM = "model_executor/layers/fused_moe/moe_align_block_size.py"
COUNT = "model_executor/layers/fused_moe/utils.py"
SGLANG = "srt/layers/moe/moe_runner/triton_utils/moe_align_block_size.py"
SMALL = "kernels/ops/moe/moe_align_small_numel.py"
STAGES = "test/kernels/moe_align.py"
Before = Mapping[str, torch.Tensor]
Options = Mapping[str, Any]


def choices(
    rng: np.random.Generator, tokens: int, experts: int, top_k: int, skew: float = 0
) -> np.ndarray:
    """Different experts for each token, int32[tokens, top_k]; with ``skew``, the first ones more often."""
    weight = rng.random((tokens, experts)) + skew * np.arange(experts, 0, -1) / experts
    return np.argsort(-weight, axis=1)[:, :top_k].astype(np.int32)


def expert_map(rng: np.random.Generator, experts: int) -> np.ndarray:
    """Half of the experts are here, int32[experts]: their local numbers, -1 elsewhere."""
    here = np.sort(rng.permutation(experts)[: experts // 2])
    local = np.full(experts, -1, np.int32)
    local[here] = np.arange(len(here))
    return local


def batches(
    experts: int, top_k: int, most: int, invalid: bool, mapped: bool
) -> Callable[[np.random.Generator], Iterator[Batch]]:
    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        def batch(ids: np.ndarray, label: str) -> Batch:
            more = dict(expert_map=expert_map(rng, experts)) if mapped else {}
            size = dict(experts=experts, block=BLOCK)
            return Batch(dict(topk_ids=ids, **more), {"tok": len(ids)}, label, size)

        yield batch(choices(rng, 1, experts, top_k), "one token")
        yield batch(choices(rng, most, experts, top_k), "every row live")
        yield batch(np.tile(choices(rng, 1, experts, top_k), (most, 1)), "all the same")
        yield batch(choices(rng, most, experts, top_k, 5), "a few experts")
        whole = np.arange(BLOCK * top_k, dtype=np.int32).reshape(-1, top_k) % top_k
        yield batch(whole, "exactly whole blocks")
        yield batch(whole[:-1], "one short of a block")
        for _ in range(5):
            tokens = int(rng.integers(1, most + 1))
            yield batch(choices(rng, tokens, experts, top_k, float(rng.random() * 2)), "random")
        if invalid:
            ids = choices(rng, most, experts, top_k)
            ids[rng.random(ids.shape) < 0.4] = -1
            yield batch(ids, "some left out")
            yield batch(np.full((2, top_k), -1, np.int32), "all left out")

    return steps


def bench(declare: Callable[..., Any], translated: bool, **options: Any) -> Callable[..., Any]:
    def at(requests: int, query: int) -> tuple[Setup, Batch]:
        rng, given = np.random.default_rng(0), {**SERVED, **options}
        if declare is moe_align:
            given["max_tokens"] = requests
        else:
            del given["block"]
        inputs = dict(topk_ids=choices(rng, requests, SERVED["experts"], SERVED["top_k"]))
        if translated:
            inputs["expert_map"] = expert_map(rng, SERVED["experts"])
        sizes = {"tok": requests}
        if translated and declare is expert_tokens:
            sizes["global_expert"] = SERVED["experts"]
        return Setup(lambda: declare(**given), sizes), Batch(
            inputs, {"tok": requests}, extra=SERVED
        )

    return at


def in_order(ids: torch.Tensor, chosen: torch.Tensor, total: int, block: int) -> torch.Tensor:
    """``ids`` with each expert's in ascending order: atomics leave them in any. Every block begins with a choice."""
    used = ids[:total].long()
    owner = chosen.flatten()[used[::block]].repeat_interleave(block)
    starts = (owner.diff() != 0).long().cumsum(0)
    key = used.clone()
    key[1:] += starts * (1 << 32)
    return torch.cat((ids[:total][key.argsort()], ids[total:]))


# --------------------------------------------------------------------- vLLM


def vllm_align(options: Options) -> Callable[..., Theirs]:
    def theirs(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
        experts, block = batch.extra["experts"], batch.extra["block"]
        made: list[torch.Tensor] = []
        align = vllm().module(VLLM).moe_align_block_size
        named: dict[str, Any] = dict(return_scatter_idx=bool(options.get("scatter")))
        if "expert_map" in given:
            named["expert_map"] = given["expert_map"]
            named["ignore_invalid_experts"] = options["mapped"] == "choices"

        def call() -> None:
            made[:] = align(given["topk_ids"], block, experts, **named)

        def read() -> Mapping[str, Any]:
            ids, owners, total = made[:3]
            used = int(total)
            found: dict[str, Any] = dict(
                num_tokens_post_pad=total,
                sorted_token_ids=in_order(ids, given["topk_ids"], used, block),
                expert_ids=owners[: used // block],
            )
            if options.get("scatter"):
                found["scatter_idx"] = made[3].view(given["topk_ids"].shape)
            return found

        return Theirs(call, read)

    return theirs


def vllm_peer(name: str, **options: Any) -> Peer:
    mapped = bool(options.get("mapped"))
    return Peer(
        name=name,
        engine="vllm",
        plan="moe_align",
        replaces=(f"{VLLM}:moe_align_block_size",),
        setup=Setup(
            lambda: moe_align(experts=EXPERTS, top_k=TOP_K, block=BLOCK, max_tokens=TOK, **options),
            {"tok": TOK},
        ),
        batches=batches(EXPERTS, TOP_K, TOK, False, mapped),
        theirs=vllm_align(options),
        bench=bench(moe_align, mapped, **options),
    )


def counted(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    made: list[torch.Tensor] = []
    count = vllm().module(COUNT).count_expert_num_tokens
    experts = len(before["expert_num_tokens"])

    def call() -> None:
        made[:] = [count(given["topk_ids"], experts, given.get("expert_map"))]

    return Theirs(call, lambda: dict(expert_num_tokens=made[0]))


def count_peer(name: str, mapped: bool) -> Peer:
    sizes = {"tok": TOK, **({"global_expert": EXPERTS} if mapped else {})}
    return Peer(
        name=name,
        engine="vllm",
        plan="expert_tokens",
        replaces=(f"{COUNT}:count_expert_num_tokens", f"{COUNT}:_count_expert_num_tokens"),
        setup=Setup(lambda: expert_tokens(experts=EXPERTS, top_k=TOP_K, mapped=mapped), sizes),
        batches=batches(EXPERTS, TOP_K, TOK, True, mapped),
        theirs=counted,
        bench=bench(expert_tokens, mapped, mapped=mapped),
    )


ROOM = 10  # tokens of a batch


def own_batches(rng: np.random.Generator) -> Iterator[Batch]:
    def batch(tokens: Any, label: str, room: int = ROOM, block: int = BLOCK) -> Batch:
        given = dict(room=room, block=block)
        return Batch(dict(expert_num_tokens=np.asarray(tokens, np.int32)), {}, label, given)

    yield batch([ROOM] * EXPERTS, "capacity reached")
    yield batch([0] * EXPERTS, "all empty")
    yield batch([BLOCK, 2 * BLOCK, 0] * 3 + [1, 0], "exactly whole blocks")
    yield batch([BLOCK - 1, 2 * BLOCK + 1] * 5 + [0], "one off whole blocks")
    for _ in range(6):
        yield batch(rng.integers(0, ROOM + 1, EXPERTS), "random")


def own_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    tokens = np.bincount(choices(np.random.default_rng(0), requests, 256, 8).ravel(), minlength=256)
    given = dict(experts=256, block=64, max_tokens=requests)
    batch = Batch(
        dict(expert_num_tokens=tokens.astype(np.int32)), {}, extra=dict(room=requests, block=64)
    )
    return Setup(lambda: batched_moe_align(**given), {}), batch


def own_align(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    made: list[torch.Tensor] = []
    align = vllm().module(VLLM).batched_moe_align_block_size

    def call() -> None:
        made[:] = align(batch.extra["room"], batch.extra["block"], given["expert_num_tokens"])

    names = ("sorted_token_ids", "expert_ids", "num_tokens_post_pad")
    return Theirs(call, lambda: dict(zip(names, made, strict=True)))


# ------------------------------------------------------------------- SGLang

MANY, FEW = (
    64,
    4,
)  # experts: so many are more than the engine's own kernel takes in one launch; tokens


def few(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    module = sglang().module(SGLANG)
    module._SGLANG_EXPERIMENTAL_LORA_OPTI = False
    experts, block = batch.extra["experts"], batch.extra["block"]
    made: list[torch.Tensor] = []

    def call() -> None:
        made[:] = module.moe_align_block_size(given["topk_ids"], block, experts)

    def read() -> Mapping[str, Any]:
        ids, owners, total = made
        used = int(total)
        return dict(
            num_tokens_post_pad=total,
            sorted_token_ids=ids[:used],
            expert_ids=owners[: used // block],
        )

    return Theirs(call, read)


def stages(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    """The Triton kernels that SGLang compares its own with; its caller fills the rows."""
    experts, block = batch.extra["experts"], batch.extra["block"]
    ids, numel = given["topk_ids"], given["topk_ids"].numel()
    rows = torch.empty_like(before["sorted_token_ids"])
    owners = before["expert_ids"].clone()
    total = torch.zeros(1, dtype=torch.int32, device=device)
    align = sglang().module(STAGES).moe_align_block_size_triton

    def call() -> None:
        rows.fill_(numel)
        align(ids, experts, block, rows, owners, total)

    def read() -> Mapping[str, Any]:
        used = int(total) // block
        return dict(num_tokens_post_pad=total, sorted_token_ids=rows, expert_ids=owners[:used])

    return Theirs(call, read)


def few_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    return bench(moe_align, False, filtered=True)(min(requests, 8), query)


PEERS = (
    vllm_peer("vLLM MoE alignment"),
    vllm_peer("vLLM MoE alignment, experts of blocks mapped", mapped="blocks"),
    vllm_peer("vLLM MoE alignment, local experts only", mapped="choices", scatter=True),
    Peer(
        name="vLLM MoE alignment of a batch for each expert",
        engine="vllm",
        plan="batched_moe_align",
        replaces=(f"{VLLM}:batched_moe_align_block_size",),
        setup=Setup(lambda: batched_moe_align(experts=EXPERTS, block=BLOCK, max_tokens=ROOM), {}),
        batches=own_batches,
        theirs=own_align,
        bench=own_bench,
    ),
    count_peer("vLLM tokens of each expert", False),
    count_peer("vLLM tokens of each local expert", True),
    Peer(
        name="SGLang MoE alignment of few tokens",
        engine="sglang",
        plan="moe_align",
        replaces=(f"{SGLANG}:moe_align_block_size", f"{SMALL}:_moe_align_small_numel_kernel"),
        setup=Setup(
            lambda: moe_align(
                experts=MANY, top_k=TOP_K, block=BLOCK, max_tokens=FEW, filtered=True
            ),
            {"tok": FEW},
        ),
        batches=lambda rng: islice(batches(MANY, TOP_K, FEW, True, False)(rng), 0, None, 2),
        theirs=few,
        bench=few_bench,
    ),
    Peer(
        name="SGLang MoE alignment in Triton",
        engine="sglang",
        plan="moe_align",
        replaces=(f"{STAGES}:moe_align_block_size_triton",),
        setup=Setup(
            lambda: moe_align(experts=EXPERTS, top_k=TOP_K, block=BLOCK, max_tokens=TOK),
            {"tok": TOK},
        ),
        batches=batches(EXPERTS, TOP_K, TOK, False, False),
        theirs=stages,
        bench=bench(moe_align, False),
    ),
)
