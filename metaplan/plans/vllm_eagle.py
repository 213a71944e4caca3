"""What vLLM 0.33's V1 drafters are fed with: EAGLE's padded first pass, parallel drafting, one step more.

The formulas restate that engine's v1/spec_decode/utils.py and llm_base_proposer.py, and a method of
v1/worker/gpu_model_runner.py. In front of the
first pass the engine counts what was accepted (one kernel), finds the token to sample from (another),
shifts the target's tokens (copies) and, for parallel drafting, makes room and maps new slots (a kernel
and some twenty operations); here all of it is one launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import metaplan as mp
from metaplan import boolean, i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def vllm_spec_logits(*, drafts: int, max_tokens: int = 8192, vocabulary: int = 1 << 20) -> mp.Plan:
    """The plan of what is verified: where the logits of drafts and bonus tokens are, and the drafts.

    Args:
        drafts: the most draft tokens of a request.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        vocabulary: token ids lie below.
    """

    @mp.plan
    def vllm_spec_logits(
        num_drafts: Annotated[i32, "req", mp.HOST, mp.between(0, drafts)],
        num_scheduled: Annotated[i32, "req", mp.HOST, mp.between(1, max_tokens)],
        token_ids: Annotated[i32, "token", mp.below(vocabulary)],
    ) -> Outputs:
        req = mp.axis("req")
        sample = mp.ragged(req, num_drafts + 1)
        draft = mp.ragged(req, num_drafts + 0)
        first = mp.cumsum(num_scheduled + 0) - num_drafts - 1
        return dict(
            cu_num_draft_tokens=draft.indptr + num_drafts,
            cu_num_sampled_tokens=sample.indptr + sample.length,
            logits_indices=first + sample.offset,
            target_logits_indices=sample.indptr + draft.offset,
            bonus_logits_indices=sample.indptr + num_drafts,
            draft_token_ids=token_ids[first + 1 + draft.offset],
        )

    return vllm_spec_logits


def vllm_eagle(
    *,
    drafts: int,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    vocabulary: int = 1 << 20,
) -> mp.Plan:
    """The plan of EAGLE's first pass: the target's own rows, their tokens moved by one.

    Args:
        drafts: the most draft tokens of a request.
        max_model_len: the longest sequence.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        vocabulary: token ids lie below; another id in the samples stands for none.
    """

    @mp.plan
    def vllm_eagle(
        sampled: Annotated[i32, "req", drafts + 1],
        discarded: Annotated[boolean, "req"],
        backup_tokens: Annotated[i32, "req", mp.HOST],
        cu_num_drafts: Annotated[i32, "req", mp.below(1 << 24)],
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        target_tokens: Annotated[i32, "token"],
        target_positions: Annotated[i64, "token", mp.between(0, max_model_len)],
    ) -> Outputs:
        req = mp.axis("req")
        next_query = query_start_loc[req.index + 1]
        tok = mp.ragged(req, mp.expect(next_query - query_start_loc[req], 0, max_tokens))

        columns = [sampled[req, column] for column in range(drafts + 1)]
        valid = [(token >= 0) & (token < vocabulary) & ~discarded for token in columns]
        next_token, num_valid = _last(columns, valid, backup_tokens[req])
        before = mp.where(req.index > 0, cu_num_drafts[req.index - 1], 0)
        rejected = _rejected(cu_num_drafts - before, num_valid)
        end = next_query - 1 - rejected

        following = tok.index + 1 < tok.size
        shifted = mp.where(following, target_tokens[tok.index + 1], 0)
        token = mp.where(tok.index == end, next_token, shifted)
        return dict(
            next_token_ids=next_token,
            valid_sampled_tokens_count=num_valid,
            token_indices_to_sample=end,
            num_rejected_tokens=rejected,
            input_ids=mp.keep(token, where=following | (tok.index == end)),
            positions=target_positions[tok],
        )

    return vllm_eagle


def vllm_parallel_drafts(
    *,
    drafts: int,
    slots: int,
    shift: bool = True,
    page: int = 16,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    vocabulary: int = 1 << 20,
    num_pages: int = 1 << 20,
    mask_token: int = 0,
) -> mp.Plan:
    """The plan of a first pass whose rows have room for the drafts: parallel drafting, a draft model.

    Args:
        drafts: the most draft tokens of a request.
        slots: tokens that a request drafts in this pass.
        shift: the drafter reads the target's hidden states, so its tokens move by one.
        page: tokens a page.
        max_model_len: the longest sequence.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        vocabulary: token ids lie below; another id in the samples stands for none.
        num_pages: page numbers lie below.
        mask_token: the token id that is drafted from.
    """
    moved = int(shift)
    net = slots - moved

    @mp.plan
    def vllm_parallel_drafts(
        sampled: Annotated[i32, "req", drafts + 1],
        discarded: Annotated[boolean, "req"],
        backup_tokens: Annotated[i32, "req", mp.HOST],
        cu_num_drafts: Annotated[i32, "req", mp.below(1 << 24)],
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
        target_tokens: Annotated[i32, "token"],
        target_positions: Annotated[i64, "token", mp.between(0, max_model_len)],
    ) -> Outputs:
        req = mp.axis("req")
        start = query_start_loc[req]
        query_len = mp.expect(query_start_loc[req.index + 1] - start, 0, max_tokens)
        tok = mp.ragged(req, query_len)
        draft = mp.ragged(req, query_len + net)
        fresh = mp.dense(req, slots)

        columns = [sampled[req, column] for column in range(drafts + 1)]
        valid = [(token >= 0) & (token < vocabulary) & ~discarded for token in columns]
        next_token, num_valid = _last(columns, valid, backup_tokens[req])
        before = mp.where(req.index > 0, cu_num_drafts[req.index - 1], 0)
        rejected = _rejected(cu_num_drafts - before, num_valid)

        known = query_len - rejected - moved
        kept = draft.offset < known + slots
        own = target_tokens[start + moved + draft.offset]
        token = mp.where(draft.offset < known, own, mask_token)
        token = mp.where(draft.offset == known, next_token, token)
        first = mp.where(query_len > 0, target_positions[start], 0)
        pos = mp.where(kept, first + i64(draft.offset), 0)
        inside = kept & (pos < max_model_len)
        block = block_table[req, mp.minimum(pos, max_model_len - 1) // page]
        outputs: Outputs = dict(
            next_token_ids=next_token,
            valid_sampled_tokens_count=num_valid,
            num_rejected_tokens=rejected,
            token_indices_to_sample=draft.indptr + known + fresh.offset,
            input_ids=mp.where(kept, token, 0),
            positions=pos,
            is_rejected_token_mask=~kept,
            is_masked_token_mask=kept & (draft.offset > known),
            slot_mapping=mp.where(inside, i64(block) * page + pos % page, -1),
            draft_query_start_loc=draft.indptr,
            draft_seq_lens=seq_lens + net,
        )
        if shift:
            outputs["hidden_state_mapping"] = draft.indptr + tok.offset
        return outputs

    return vllm_parallel_drafts


def _last(
    tokens: Sequence[mp.Value], valid: Sequence[mp.Value], backup: mp.Value
) -> tuple[mp.Value, mp.Value]:
    """The last valid token, ``backup`` where none is; and how many are."""
    count = sum((i32(v) for v in valid[1:]), i32(valid[0]))
    for token, counts in zip(tokens, valid, strict=True):
        backup = mp.where(counts, token, backup)
    return backup, count


def _rejected(num_drafts: mp.Value, num_valid: mp.Value) -> mp.Value:
    """Of a request's drafts; its own next token is among the valid ones."""
    return mp.where(num_drafts > 0, num_drafts + 1 - num_valid, 0)


def vllm_eagle_step(
    *, page: int = 16, max_model_len: int = 131072, num_pages: int = 1 << 20
) -> mp.Plan:
    """The plan between two draft steps: the next position of every request, its slot, its length.

    Run it once a step: it adds one to the lengths in place.

    Args:
        page: tokens a page.
        max_model_len: the longest sequence; a request that reaches it drafts into no slot.
        num_pages: page numbers lie below.
    """

    @mp.plan
    def vllm_eagle_step(
        last_positions: Annotated[i64, "req", mp.between(0, max_model_len)],
        block_table: Annotated[i32, "req", "page", mp.below(num_pages)],
        seq_lens: Annotated[i32, "req", mp.between(0, max_model_len), mp.STATE],
        padded_reqs: Annotated[i32, mp.between(0, 1 << 20)],
    ) -> Outputs:
        req = mp.axis("req")
        room = last_positions + 1 < max_model_len
        pos = mp.where(room, last_positions + 1, 0)
        slot = i64(block_table[req, pos // page]) * page + pos % page
        length = mp.where(room, mp.minimum(seq_lens[req] + 1, max_model_len), 1)
        return dict(
            positions=pos,
            slot_mapping=mp.tail(mp.where(room, slot, -1), -1, until=padded_reqs),
            lengths=mp.update(seq_lens[req], length),
        )

    return vllm_eagle_step


DRAFTS, REQUESTS, TOKENS = 7, 1024, 8192


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": REQUESTS, "tok": TOKENS, "token": TOKENS}
    logits = {"req": REQUESTS, "sample": TOKENS, "token": TOKENS}
    return (
        Shipped("vllm_spec_logits", lambda: vllm_spec_logits(drafts=DRAFTS), logits),
        Shipped("vllm_eagle", lambda: vllm_eagle(drafts=DRAFTS), sizes),
        Shipped(
            "vllm_parallel_drafts",
            lambda: vllm_parallel_drafts(drafts=DRAFTS, slots=DRAFTS),
            {**sizes, "draft": TOKENS + REQUESTS * (DRAFTS - 1), "page": 8192},
        ),
        Shipped("vllm_eagle_step", vllm_eagle_step, {"req": REQUESTS, "page": 8192}),
    )
