"""Whose a token is, where it lies under context parallelism, and which microbatch runs it, as in vLLM 0.33.

The engine searches the fences once for every token (v1/attention/ops/metadata.py), maps the tokens of each
KV-cache group in a kernel of its own and counts local lengths in eight torch kernels (v1/worker/block_table.py,
v1/attention/backends/utils.py), and slices a step into microbatches on the host, with four more for each
(v1/worker/gpu/ubatch_utils.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.engine_step import Interleave
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out]
MOST_TOKENS = 1 << 24


def vllm_token_requests(*, max_model_len: int = 131072, max_query: int = 8192) -> mp.Plan:
    """The plan of what all backends derive from a step's fences and lengths.

    Args:
        max_model_len: the longest sequence.
        max_query: the most query tokens of a request.
    """

    @mp.plan
    def vllm_token_requests(
        query_start_loc: Annotated[i32, "req_fence", mp.below(MOST_TOKENS)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        padded_tokens: Annotated[i32, mp.between(0, MOST_TOKENS)],
    ) -> mp.Outputs:
        req = mp.axis("req")
        query_len = query_start_loc[req.index + 1] - query_start_loc[req]
        query_len = mp.expect(query_len, 0, max_query)
        tok = mp.ragged(req, query_len)
        return dict(
            token_to_req_indices=mp.tail(mp.on(tok, tok.row), 0, until=padded_tokens),
            query_lens=query_len,
            num_computed_tokens=seq_lens - query_len,
        )

    return vllm_token_requests


def vllm_context_parallel(
    *,
    interleave: Interleave,
    pages: tuple[int, ...] = (16,),
    max_model_len: int = 131072,
    max_query: int = 8192,
    num_pages: int = 1 << 20,
) -> mp.Plan:
    """The plan of one rank's slots in every KV-cache group, and of how many tokens each rank holds.

    Args:
        interleave: how positions are dealt out to the ranks.
        pages: tokens a page, of each group.
        max_model_len: the longest sequence.
        max_query: the most query tokens of a request.
        num_pages: pages of the KV cache.
    """

    @mp.plan
    def vllm_context_parallel(
        query_start_loc: Annotated[i32, "req_fence", mp.below(MOST_TOKENS)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
    ) -> Outputs:
        req = mp.axis("req")
        query_len = query_start_loc[req.index + 1] - query_start_loc[req]
        query_len = mp.expect(query_len, 0, max_query)
        tok = mp.ragged(req, query_len)
        pos = mp.expect(seq_lens - query_len + tok.offset, 0, max_model_len - 1)
        ranks = [replace(interleave, rank=rank) for rank in range(interleave.size)]
        outputs: Outputs = dict(
            positions=i64(pos),
            dcp_local_seq_lens=mp.tail(interleave.local_length(seq_lens), 0),
            seq_lens_of_ranks=mp.on(req, *[rank.local_length(seq_lens) for rank in ranks]),
        )
        for g, page in enumerate(pages):
            block_table = mp.array(
                f"block_table_{g}", i32.KIND, "req", f"page_{g}", mp.below(num_pages)
            )
            owned, place = interleave.place(pos, page)
            block = mp.where(owned, block_table[req, place // page], 0)
            slot = i64(block) * page + i64(place % page)
            outputs[f"slot_mapping_{g}"] = mp.tail(mp.where(owned, slot, -1), -1)
        return outputs

    return vllm_context_parallel


def vllm_microbatches(
    *,
    ubatches: int = 2,
    max_reqs: int = 1024,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    interleave: Interleave | None = None,
) -> mp.Plan:
    """The plan that cuts a padded step into microbatches of equally many tokens, each with its own rows.

    Args:
        ubatches: how many.
        max_reqs: rows of the step's buffers, and of each microbatch's.
        max_model_len: the longest sequence.
        max_tokens: the most tokens of a step.
        interleave: decode context parallelism, where there is any.
    """

    @mp.plan
    def vllm_microbatches(
        query_start_loc: Annotated[i32, max_reqs + 1, mp.between(0, max_tokens)],
        seq_lens: Annotated[i32, max_reqs, mp.between(0, max_model_len)],
        num_reqs: Annotated[i32, mp.between(1, max_reqs)],
        padded_reqs: Annotated[i32, mp.between(1, max_reqs)],
        padded_tokens: Annotated[i32, mp.between(1, max_tokens)],
    ) -> Outputs:
        ubatch = mp.dense(None, ubatches)
        fence = mp.dense(ubatch, max_reqs + 1)
        row = mp.dense(ubatch, max_reqs)
        share, last = padded_tokens // ubatches, ubatch.offset == ubatches - 1
        first_token = ubatch.offset * share
        end_token = mp.where(last, padded_tokens, first_token + share)

        begins, real = query_start_loc[fence.offset], fence.offset <= num_reqs
        started = mp.sum(real & (begins <= first_token), over=fence)
        ended = mp.sum(real & (begins < end_token), over=fence)
        first = mp.maximum(mp.minimum(started, num_reqs) - 1, 0)
        end = mp.where(last, padded_reqs, mp.minimum(ended, padded_reqs))
        rows = mp.expect(end - first, 0, max_reqs)

        at = mp.minimum(first + fence.offset, max_reqs)
        own = mp.minimum(mp.maximum(query_start_loc[at] - first_token, 0), end_token - first_token)
        cut = mp.maximum(query_start_loc[end] - end_token, 0)
        length = seq_lens[mp.minimum(first + row.offset, max_reqs - 1)]
        length = mp.maximum(length - mp.where(row.offset == rows - 1, cut, 0), 0)
        outputs: Outputs = dict(
            request_slice=mp.on(ubatch, first, end),
            token_slice=mp.on(ubatch, first_token, end_token),
            query_start_loc_of=mp.keep(own, where=fence.offset <= rows),
            seq_lens_of=mp.keep(length, where=row.offset < rows),
        )
        if interleave is not None:
            live = row.offset < mp.minimum(end, num_reqs) - first
            local = mp.where(live, interleave.local_length(length), 0)
            outputs["dcp_local_seq_lens_of"] = local
        return outputs

    return vllm_microbatches


def shipped() -> tuple[Shipped, ...]:
    interleave = Interleave(size=8, rank=3, run=16)
    return (
        Shipped("vllm_token_requests", lambda: vllm_token_requests(max_query=8), {"req": 1024}),
        Shipped(
            "vllm_context_parallel",
            lambda: vllm_context_parallel(interleave=interleave, pages=(16, 16), max_query=8),
            {"req": 1024},
        ),
        Shipped("vllm_microbatches", lambda: vllm_microbatches(interleave=interleave), {}),
    )
