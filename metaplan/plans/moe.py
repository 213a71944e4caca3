"""Choices of experts in the order of the experts, each expert's padded to whole blocks, for grouped multiplications.

vLLM 0.33 (model_executor/layers/fused_moe/moe_align_block_size.py) and SGLang 0.5.23
(srt/layers/moe/moe_runner/triton_utils/moe_align_block_size.py) fill the buffers and count in one kernel and sort in a
second one, where atomics decide the order within an expert. Here it is the order of the tokens, in every run.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32
from metaplan.plans.shipped import Shipped


def most_rows(choices: int, buckets: int, block: int) -> int:
    """How many rows ``choices`` take at most when each bucket is padded to whole blocks."""
    return min(choices * block, choices + buckets * (block - 1))


def moe_align(
    *,
    experts: int = 256,
    top_k: int = 8,
    block: int = 64,
    max_tokens: int = 1024,
    filtered: bool = False,
    mapped: str = "",
    scatter: bool = False,
) -> mp.Plan:
    """The plan for what the router of one layer has chosen.

    Args:
        experts: experts that a token may choose.
        top_k: how many a token chooses.
        block: rows of a block of the multiplication.
        max_tokens: the capacity of the batch.
        filtered: choices of -1 come first and make blocks of expert -1; otherwise they are left out.
        mapped: with "blocks", an ``expert_map`` translates the experts of the blocks; with "choices", it translates
            each choice, and those without a local expert are left out.
        scatter: also list each choice's own index, or -1 where it is left out.
    """
    lowest = -1 if filtered else 0
    buckets = experts - lowest
    rows = most_rows(max_tokens * top_k, buckets, block)

    @mp.plan
    def moe_align(
        topk_ids: Annotated[i32, "tok", top_k, mp.between(-1, experts - 1)],
    ) -> mp.Outputs:
        tok = mp.axis("tok")
        choice = mp.dense(tok, top_k)
        bucket = mp.dense(None, buckets)
        row = mp.dense(None, rows)
        tile = mp.dense(None, -(-rows // block))

        key = topk_ids[tok, choice.offset] - lowest
        expert_map = None
        if mapped:
            expert_map = mp.array("expert_map", i32.KIND, experts, mp.between(-1, experts - 1))
        if expert_map is not None and mapped == "choices":
            key = mp.where(key >= 0, expert_map[key], -1)
        padded = mp.cdiv(mp.histogram(key, bucket), block) * block
        first = mp.sum(mp.where(bucket.index < mp.given(key), padded, 0), over=bucket)
        total = mp.sum(padded, over=bucket)
        begin = tile.index * block
        owner = mp.where(begin < total, mp.locate(mp.cumsum(padded), begin) + lowest, lowest)
        if expert_map is not None and mapped == "blocks":
            owner = expert_map[mp.minimum(owner, experts - 1)]
        outputs: mp.Outputs = dict(
            sorted_token_ids=mp.put(
                row,
                first + mp.rank(key),
                choice.index,
                where=key >= 0,
                combine="distinct",
                init=tok.size * top_k,
            ),
            expert_ids=owner,
            num_tokens_post_pad=total,
        )
        if scatter:
            outputs["scatter_idx"] = mp.where(key >= 0, choice.index, -1)
        return outputs

    return moe_align


def batched_moe_align(*, experts: int = 256, block: int = 64, max_tokens: int = 1024) -> mp.Plan:
    """The same where each expert has a batch of its own, with room for ``max_tokens``; vLLM's batched_moe_align_block_size.

    Args:
        experts: batches.
        block: rows of a block of the multiplication.
        max_tokens: tokens that a batch has room for.
    """
    blocks = -(-max_tokens // block)

    @mp.plan
    def batched_moe_align(
        expert_num_tokens: Annotated[i32, experts, mp.between(0, max_tokens)],
    ) -> mp.Outputs:
        expert = mp.dense(None, experts)
        tokens = expert_num_tokens[expert.index]
        tile = mp.ragged(expert, mp.cdiv(tokens, block), most=blocks)
        row = mp.ragged(expert, mp.cdiv(tokens, block) * block, most=blocks * block)
        own = expert.index * max_tokens + row.offset
        nothing = experts * max_tokens
        return dict(
            sorted_token_ids=mp.tail(mp.where(row.offset < tokens, own, nothing), nothing),
            expert_ids=mp.tail(mp.on(tile, expert.index), -1),
            num_tokens_post_pad=row.size,
        )

    return batched_moe_align


def expert_tokens(*, experts: int = 256, top_k: int = 8, mapped: bool = False) -> mp.Plan:
    """How many choices fall on each expert, after vLLM's model_executor/layers/fused_moe/utils.py.

    Args:
        experts: experts that are counted.
        top_k: how many a token chooses.
        mapped: an ``expert_map`` translates each choice first; -1 is counted nowhere.
    """

    @mp.plan
    def expert_tokens(
        topk_ids: Annotated[i32, "tok", top_k, mp.between(-1, 1 << 16)],
    ) -> mp.Outputs:
        tok = mp.axis("tok")
        choice = mp.dense(tok, top_k)
        expert = mp.dense(None, experts)
        key = topk_ids[tok, choice.offset]
        if mapped:
            expert_map = mp.array(
                "expert_map", i32.KIND, "global_expert", mp.between(-1, experts - 1)
            )
            key = mp.where(key >= 0, expert_map[key], -1)
        return dict(expert_num_tokens=mp.histogram(key, expert))

    return expert_tokens


def shipped() -> tuple[Shipped, ...]:
    return (
        Shipped("moe_align", moe_align, {"tok": 1024}),
        Shipped("batched_moe_align", batched_moe_align, {}),
        Shipped("expert_tokens", expert_tokens, {"tok": 1024}),
    )
