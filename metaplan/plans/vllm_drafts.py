"""What vLLM 0.33's V2 runner feeds its drafters with: autoregressive ones and DFlash's parallel one.

The formulas restate that engine's v1/worker/gpu/spec_decode/target_dependent_ar/speculator.py and
dflash/speculator.py. The engine runs one program a request, and one of them pads every buffer up to
its capacity; here the tails are written by programs of their own.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.engine_step import Interleave
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def vllm_draft_prefill(
    *,
    drafts: int,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    vocabulary: int = 1 << 20,
    states: int = 1 << 20,
) -> mp.Plan:
    """The plan of an autoregressive drafter's first pass, over the target's own rows.

    Args:
        drafts: the most draft tokens of a request.
        max_model_len: the longest sequence.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        vocabulary: token ids lie below.
        states: rows of the request tables.
    """

    @mp.plan
    def vllm_draft_prefill(
        idx_mapping: Annotated[i64, "req", mp.below(states)],
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        num_sampled: Annotated[i32, "req", mp.between(0, drafts + 1)],
        num_rejected: Annotated[i32, "req", mp.between(0, drafts)],
        target_tokens: Annotated[i32, "token", mp.below(vocabulary)],
        target_positions: Annotated[i64, "token", mp.between(0, max_model_len)],
        last_sampled: Annotated[i64, "state", mp.below(vocabulary)],
        next_prefill_tokens: Annotated[i32, "state", mp.below(vocabulary)],
    ) -> Outputs:
        req = mp.axis("req")
        count = query_start_loc[req.index + 1] - query_start_loc[req]
        tok = mp.ragged(req, mp.expect(count, 0, max_tokens))
        known = tok.length - num_rejected
        last = query_start_loc[req] + known - 1
        sampled = i32(last_sampled[idx_mapping])
        next_token = mp.where(num_sampled > 0, sampled, next_prefill_tokens[idx_mapping])
        shifted = mp.where(tok.offset < known - 1, target_tokens[tok.index + 1], next_token)
        own = tok.offset < known
        return dict(
            last_token_indices=mp.tail(i64(last), 0),
            input_ids=mp.keep(shifted, where=own),
            positions=mp.keep(mp.where(own, target_positions[tok], 0), where=own),
            draft_query_start_loc=tok.indptr,
            draft_seq_lens=mp.tail(mp.on(req, seq_lens[req]), 0),
            current_draft_step=i64(req.size * 0),
        )

    return vllm_draft_prefill


def vllm_draft_decode(
    *,
    drafts: int,
    max_model_len: int = 131072,
    vocabulary: int = 1 << 20,
    advance: bool = True,
) -> mp.Plan:
    """The plan between an autoregressive drafter's first pass and its steps of one token a request.

    Run it once a step: it moves positions by one in place.

    Args:
        drafts: the most draft tokens of a request.
        max_model_len: the longest sequence.
        vocabulary: token ids lie below.
        advance: each draft step is one position further; else all share the first one's.
    """

    @mp.plan
    def vllm_draft_decode(
        draft_tokens: Annotated[i64, "req", drafts, mp.below(vocabulary)],
        target_seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        num_rejected: Annotated[i32, "req", mp.between(0, drafts)],
        sample_src_positions: Annotated[i64, "req", mp.STATE],
    ) -> Outputs:
        req = mp.axis("req")
        source = sample_src_positions[req]
        length = target_seq_lens - num_rejected
        outputs: Outputs = dict(
            input_ids=i32(draft_tokens[req, 0]),
            query_start_loc=mp.tail(req.cuts, mp.LAST),
            sample_src=mp.update(source, source + 1),
        )
        if advance:
            positions = mp.array(
                "positions", i64.KIND, "token", mp.between(0, max_model_len - 1), mp.STATE
            )
            place = positions[req]
            outputs["place"] = mp.update(place, mp.minimum(place + 1, max_model_len - 1))
            length = mp.minimum(length + 1, max_model_len)
        outputs["seq_lens"] = mp.tail(length, 0)
        return outputs

    return vllm_draft_decode


def vllm_dflash(
    *,
    drafts: int,
    query: int,
    page: int = 16,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    from_anchor: bool = False,
    interleave: Interleave | None = None,
    vocabulary: int = 1 << 20,
    num_pages: int = 1 << 20,
    states: int = 1 << 20,
    mask_token: int = 0,
) -> mp.Plan:
    """The plan of a drafter that writes the target's tokens as context and drafts all at once.

    Args:
        drafts: draft tokens of a request.
        query: query tokens of a request: the token that was sampled, and masks behind it.
        page: tokens a page.
        max_model_len: the longest sequence.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        from_anchor: sample at the first query token too, each for the token behind it (DSpark).
        interleave: decode context parallelism, where there is any.
        vocabulary: token ids lie below.
        num_pages: page numbers lie below; page 0 is nobody's.
        states: rows of the request tables.
        mask_token: the token id that is drafted from.
    """
    size = 1 if interleave is None else interleave.size
    columns = -(-max_model_len // (page * size))
    skipped = int(not from_anchor)

    @mp.plan
    def vllm_dflash(
        idx_mapping: Annotated[i64, "req", mp.below(states)],
        target_query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        num_sampled: Annotated[i32, "req", mp.between(0, drafts + 1)],
        num_rejected: Annotated[i32, "req", mp.between(0, drafts)],
        target_positions: Annotated[i64, "token", mp.between(0, max_model_len)],
        last_sampled: Annotated[i64, "state", mp.below(vocabulary)],
        next_prefill_tokens: Annotated[i32, "state", mp.below(vocabulary)],
        block_table: Annotated[i32, "req", columns, mp.below(num_pages)],
    ) -> Outputs:
        req = mp.axis("req")
        count = target_query_start_loc[req.index + 1] - target_query_start_loc[req]
        tok = mp.ragged(req, mp.expect(count, 0, max_tokens))
        ask = mp.dense(req, query)
        sample = mp.dense(req, drafts)

        def slot(pos: mp.Value, real: mp.Value | bool = True) -> mp.Value:
            column = mp.minimum(pos // (page * size), columns - 1)
            block = mp.where(real, block_table[req, column], 0)
            mine, inside = block > 0, pos % page
            if interleave is not None:
                owned, local = interleave.place(pos, page)
                mine, inside = mine & owned, local % page
            return mp.where(mine, i64(block) * page + inside, -1)

        known = tok.length - num_rejected
        end = target_query_start_loc[req] + known
        last = mp.where(known > 0, target_positions[end - 1], 0)
        sampled = i32(last_sampled[idx_mapping])
        bonus = mp.where(num_sampled > 0, sampled, next_prefill_tokens[idx_mapping])
        own = tok.offset < known
        context = mp.where(own, target_positions[tok], 0)
        pos = last + 1 + i64(ask.offset)
        sample_pos = last + 1 + i64(sample.offset) + 1
        return dict(
            input_ids=mp.tail(mp.where(ask.offset == 0, bonus, mask_token), 0),
            positions=mp.tail(mp.minimum(pos, max_model_len - 1), 0),
            is_padding=mp.tail(mp.on(ask, False), True),
            query_slot_mapping=mp.tail(slot(pos), -1),
            query_start_loc=mp.indptr(query + 0 * req.index),
            seq_lens=mp.tail(i32(mp.minimum(last + 1 + query, max_model_len)), 0),
            context_positions=context,
            context_slot_mapping=slot(context, own),
            sample_indices=mp.tail(i64(req.index * query + sample.offset + skipped), 0),
            sample_pos=mp.tail(sample_pos, 0),
            sample_idx_mapping=mp.tail(mp.on(sample, idx_mapping[req]), -1),
        )

    return vllm_dflash


DRAFTS, REQUESTS, TOKENS = 7, 1024, 8192


def shipped() -> tuple[Shipped, ...]:
    rows = {"req": REQUESTS, "state": REQUESTS}
    tokens = {"tok": TOKENS, "token": TOKENS}
    prefill = lambda: vllm_draft_prefill(drafts=DRAFTS, states=REQUESTS)  # noqa: E731
    dflash = lambda: vllm_dflash(drafts=DRAFTS, query=DRAFTS + 1, states=REQUESTS)  # noqa: E731
    return (
        Shipped("vllm_draft_prefill", prefill, {**rows, **tokens}),
        Shipped(
            "vllm_draft_decode",
            lambda: vllm_draft_decode(drafts=DRAFTS),
            {"req": REQUESTS, "token": TOKENS},
        ),
        Shipped("vllm_dflash", dflash, {**rows, **tokens}),
    )
