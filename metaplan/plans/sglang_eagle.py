"""An EAGLE round's indices, as SGLang 0.5.23 prepares them around its draft and target model.

The engine runs a kernel each for the draft's slots, the draft's KV lists, the chain to verify, the
layout of the draft extend, the commit, and two to four for the accepted slots
(kernels/ops/speculative/cache_locs.py and eagle.py, speculative/eagle_worker_common.py, spec_utils.py
and the draft backends' common_template). Here there is one launch wherever a model has to run in
between: before the draft, before the target, and behind it.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.sglang_eagle_draft import PLACES, Draft, Outputs, place, sglang_eagle_draft
from metaplan.plans.shipped import Shipped


def sglang_eagle_verify(
    *,
    drafts: int = 3,
    front: int = 0,
    warmup: int = 0,
    v_pages: tuple[int, ...] = (),
    page: int = 1,
    mrope: bool = False,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
    vocabulary: int = 1 << 20,
) -> mp.Plan:
    """The plan between the draft and the target: the chain to verify, and the draft extend behind it.

    Nothing of the draft extend depends on what is accepted, so it is laid out here.

    Args:
        drafts: draft tokens of a request; the chain is one longer.
        front: tokens in front of the chain that the draft extend runs again, where they are stashed.
        warmup: of those that are stashed, how many are run without keeping their KV.
        v_pages: a unified KV pool's tables from a slot's page to its place: one for the full cache,
            or a second one for the sliding one; the entries of each.
        page: tokens a page of that pool.
        mrope: positions in three rows too.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
        vocabulary: token ids lie below.
    """
    width = drafts + 1

    @mp.plan
    def sglang_eagle_verify(
        seq_lens: Annotated[i64, "req", mp.between(0, max_model_len)],
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
        bonus_tokens: Annotated[i32, "req", mp.below(vocabulary)],
        draft_tokens: Annotated[i64, "req", drafts, mp.below(vocabulary)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.dense(req, width)
        seen = mp.dense(tok, width)
        length, col = i32(seq_lens), tok.offset
        drafted = mp.where(col > 0, draft_tokens[req, col - 1], i64(bonus_tokens))
        slot = req_to_token[req_pool_indices, length + col]
        outputs: Outputs = dict(
            tokens=drafted,
            positions=i64(length + col),
            tree_mask=seen.offset <= col,
            retrieve_index=i64(tok.index),
            retrieve_next_token=i64(mp.where(col < drafts, col + 1, -1)),
            retrieve_next_sibling=mp.on(tok, i64(-1)),
            out_cache_loc=i64(slot),
            extend_prefix_lens=mp.maximum(length - front, 0),
            extend_lens=mp.on(req, width + front),
            extend_seq_lens=seq_lens + width,
        )
        for row in range(3 if mrope else 0):
            outputs[f"mrope_positions_{row}"] = i64(length + col)
        if front:
            stashed = mp.array("stash_valid_lens", i32.KIND, "state", mp.between(0, 1 << 16))
            wide = mp.dense(req, width + front)
            at = length - front + wide.offset
            missing = front - mp.minimum(stashed[req_pool_indices], length)
            valid = mp.maximum(missing, 0)
            kept = wide.offset >= mp.minimum(valid + warmup, front)
            loc = mp.where(kept, req_to_token[req_pool_indices, mp.maximum(at, 0)], 0)
            outputs["extend_cache_loc"] = i64(loc)
            outputs["extend_positions"] = i64(mp.where(wide.offset >= valid, at, 0))
        else:
            outputs["extend_start_locs"] = req.index * width
            outputs["extend_positions"] = i64(length + col)
        for name, size in zip(("full", "swa"), v_pages, strict=False):
            v2p = mp.array(f"{name}_v2p", i64.KIND, size, PLACES)
            known = slot // page < size
            outputs[f"{name}_out_cache_loc"] = mp.where(known, place(v2p, slot, page), 0)
        return outputs

    return sglang_eagle_verify


def sglang_eagle_commit(
    *,
    drafts: int = 3,
    depth: int | None = None,
    track: int = 0,
    max_model_len: int = 131072,
    vocabulary: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan behind the target: what was accepted, and what the cache and the draft extend need of it.

    A chain's accepted tokens are in front already. A tree's are not: their slots are listed with
    those that they move to, and what was predicted there moves to the front.

    Args:
        drafts: draft tokens of a request; with the bonus in front they are its chain or tree.
        depth: levels of a tree; a chain if not given.
        track: a recurrent state is kept at every multiple of so many tokens, 0 for no such state.
        max_model_len: the longest sequence.
        vocabulary: token ids lie below.
        slots: slots of the KV cache.
    """
    width = drafts + 1
    most = width if depth is None else depth + 1

    @mp.plan
    def sglang_eagle_commit(
        seq_lens: Annotated[i64, "req", mp.between(0, max_model_len)],
        predict: Annotated[i32, "req", width, mp.below(vocabulary)],
        accept_lens: Annotated[i32, "req", mp.between(1, most)],
        accept_index: Annotated[i32, "req", most, mp.between(-1, (1 << 24) - 1)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.dense(req, width)
        last = accept_index[req, accept_lens - 1]
        begin = req.index * width
        token = predict[req, tok.offset]
        outputs: Outputs = dict(
            new_seq_lens=seq_lens + i64(accept_lens),
            bonus_tokens=mp.where(last >= 0, predict[last // width, last % width], 0),
            num_correct_drafts=accept_lens - 1,
            select_index=i64(begin + accept_lens - 1),
        )
        if depth is not None:
            loc = mp.array("out_cache_loc", i64.KIND, "req", width, mp.below(slots))
            cell = mp.dense(req, most)
            front = mp.ragged(req, accept_lens)
            index = accept_index[req, cell.offset]
            kept = mp.compact(cell, index >= 0)
            source = mp.where(index >= 0, loc[index // width, index % width], 0)
            room = req.size * most
            outputs["target_cache_loc"] = mp.tail(loc[req, front.offset], 0, until=room)
            outputs["accept_cache_loc"] = mp.tail(mp.on(kept, source), 0, until=room)
            moved = mp.where(tok.offset < most, accept_index[req, tok.offset], tok.index)
            moved = mp.maximum(moved, 0)
            token = predict[moved // width, moved % width]
            outputs["accepted_front"] = token
        else:
            outputs["last_steps"] = i64(last - begin)
        outputs["next_token_ids"] = i64(token)
        if track:
            length = i32(seq_lens)
            after = length + accept_lens
            crossing = length // track != after // track
            at = mp.minimum(mp.maximum(after // track * track - length - 1, 0), most - 1)
            step = accept_index[req, at] - begin
            outputs["track_steps"] = i64(mp.where(crossing, step, -1))
        return outputs

    return sglang_eagle_commit


def sglang_extend_locs(
    *,
    most: int = 8,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The slots of positions ``start..end`` of every request, packed: ngram and DFlash verify.

    Args:
        most: the most positions of a request.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """

    @mp.plan
    def sglang_extend_locs(
        start_offset: Annotated[i64, "req", mp.between(0, max_model_len)],
        end_offset: Annotated[i64, "req", mp.between(0, max_model_len)],
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
    ) -> Outputs:
        req = mp.axis("req")
        start = i32(start_offset)
        new = mp.ragged(req, mp.expect(i32(end_offset) - start, 0, most))
        return dict(out_cache_loc=i64(req_to_token[req_pool_indices, start + new.offset]))

    return sglang_extend_locs


DRAFTS, MODEL_LEN, STATES = 7, 32768, 1024


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "state": STATES}
    draft = Draft(steps=DRAFTS)
    return (
        Shipped(
            "sglang_eagle_draft",
            lambda: sglang_eagle_draft(draft=draft, max_model_len=MODEL_LEN, states=STATES),
            sizes,
        ),
        Shipped(
            "sglang_eagle_verify",
            lambda: sglang_eagle_verify(drafts=DRAFTS, max_model_len=MODEL_LEN, states=STATES),
            sizes,
        ),
        Shipped("sglang_eagle_commit", lambda: sglang_eagle_commit(drafts=DRAFTS), {"req": 1024}),
        Shipped(
            "sglang_extend_locs",
            lambda: sglang_extend_locs(most=DRAFTS + 1, states=STATES),
            sizes,
        ),
    )
