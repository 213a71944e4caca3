"""All that vLLM 0.33 prepares for DeepSeek-V4's attention at decode, in one launch.

The engine calls one builder for each of the model's KV-cache groups, each of them with launches of its
own: windows, states of 4 and of 128 tokens, and the indexer's keys. See vllm_sparse.py and vllm_indexer.py
for the parts.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32
from metaplan.plans.shipped import Shipped
from metaplan.plans.vllm_indexer import see_keys
from metaplan.plans.vllm_sparse import Compressed, Window, list_windows, place_states, queries

Outputs = dict[str, mp.Value | mp.Out | mp.Change]

KEYS = Compressed(4)


def vllm_deepseek_v4(
    *,
    windows: tuple[Window, ...] = (Window(),),
    states: tuple[Compressed, ...] = (Compressed(4), Compressed(128)),
    keys: Compressed = KEYS,
    query: int = 8,
    max_model_len: int = 131072,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of one decode step of the model.

    Args:
        windows: groups of windows, each with its own block table and slots.
        states: groups of compressed states.
        keys: the indexer's group.
        query: the most query tokens of a request.
        max_model_len: the longest sequence.
        num_pages: page numbers lie below.
    """

    @mp.plan
    def vllm_deepseek_v4(
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 24)],
    ) -> Outputs:
        asked = queries(query_start_loc, seq_lens, padded_tokens, query)
        outputs: Outputs = dict(token_to_req_indices=asked.to_request)
        outputs |= list_windows(asked, windows, {"decode": asked.tok}, 0, num_pages)
        outputs |= place_states(asked, states, max_model_len, num_pages)
        return outputs | see_keys(asked, keys.ratio, keys.states, num_pages, suffix="_keys")

    return vllm_deepseek_v4


def shipped() -> tuple[Shipped, ...]:
    pages = {"page_0": 2048, "page_c4": 512, "page_c128": 512, "page_keys": 512}
    sizes = {"req": 1024, "tok": 8192, "token": 8192, **pages}
    return (Shipped("vllm_deepseek_v4", vllm_deepseek_v4, sizes),)
