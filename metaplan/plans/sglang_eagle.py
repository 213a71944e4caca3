"""An EAGLE round's indices, as SGLang 0.5.23 prepares them around its draft and target model.

The engine runs a kernel each for the draft's slots, the draft's KV lists, the chain to verify, the
layout of the draft extend, the commit, and two to four for the accepted slots
(kernels/ops/speculative/cache_locs.py and eagle.py, speculative/eagle_worker_common.py, spec_utils.py
and the draft backends' common_template). Here there is one launch wherever a model has to run in
between: before the draft, before the target, and behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.arrays import Array
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft tree: ``topk`` branches of ``steps`` tokens; ``page`` tokens a page of the KV cache."""

    topk: int = 1
    steps: int = 3
    page: int = 1

    @property
    def reach(self) -> int:
        """Slots behind a request's own that its branches may use."""
        return self.topk * (self.steps + 2 * self.page)

    def position(self, length: mp.Value, branch: mp.Value | int, step: mp.Value) -> mp.Value:
        """Where a branch keeps its token of ``step`` among the request's slots.

        Several branches on larger pages have pages of their own, each begun with a copy of the
        prefix's last, partial page.
        """
        if self.page == 1 or self.topk == 1:
            return length + branch * self.steps + step
        rest = length % self.page
        own = mp.cdiv(rest + self.steps, self.page) * self.page
        return length - rest + branch * own + rest + step


_PLACES = mp.between(-1, (1 << 24) - 1)


def place(v2p: Array, slot: mp.Value, page: int) -> mp.Value:
    """Where a unified KV pool keeps ``slot``: its page may have no place yet, then it is 0."""
    return mp.maximum(v2p[slot // page] * page + i64(slot % page), 0)


def sglang_eagle_draft(
    *,
    draft: Draft | None = None,
    columns: int | None = None,
    window: int = 0,
    sink: int = 0,
    sliding_window: int = 0,
    swa_map: bool = False,
    v_pages: int = 0,
    mrope: bool = False,
    max_model_len: int = 131072,
    states: int = 1 << 20,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan in front of the draft model: its slots, positions, and the KV lists of every step.

    Args:
        draft: the shape of the tree.
        columns: slots of a branch; the draft's steps if not given, more where a chain draft plans
            the whole window that verify writes too.
        window: the draft sees so many of the last tokens (and ``sink`` of the first), 0 for all.
        sink: first tokens that a windowed draft still sees.
        sliding_window: the window of the draft model's own sliding layers, which have lists of their own.
        swa_map: those layers' lists hold slots of their own cache, looked up by slot.
        v_pages: entries of a unified KV pool's table from a slot's page to its place; 0 for no such pool.
        mrope: positions in three rows too.
        max_model_len: the longest sequence.
        states: rows of the request tables.
        slots: slots of the KV cache.
    """
    tree = draft or Draft()
    width = columns or tree.steps

    @mp.plan
    def sglang_eagle_draft(
        seq_lens: Annotated[i64, "req", mp.between(0, max_model_len)],
        req_pool_indices: Annotated[i64, "req", mp.below(states)],
        req_to_token: Annotated[i32, "state", "context", mp.below(slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        branch = req if tree.topk == 1 else mp.dense(req, tree.topk, name="branch")
        which = 0 if tree.topk == 1 else branch.offset

        v2p = mp.array("v2p", i64.KIND, v_pages, _PLACES) if v_pages else None

        def slot(position: mp.Value) -> mp.Value:
            return i64(req_to_token[req_pool_indices, position])

        def read(position: mp.Value) -> mp.Value:
            return slot(position) if v2p is None else place(v2p, slot(position), tree.page)

        cell = mp.dense(branch, width)
        outputs: Outputs = dict(
            out_cache_loc=slot(tree.position(length, which, cell.offset)),
            positions=mp.on(branch, seq_lens),
        )
        for row in range(3 if mrope else 0):
            outputs[f"mrope_positions_{row}"] = mp.on(branch, seq_lens)

        seen = mp.minimum(length, window + sink) if window else length
        first = mp.minimum(length, sink) if window else 0
        for step in range(tree.steps):
            kv = mp.ragged(branch, seen + which * 0 + step + 1, name=f"kv_{step}")
            at = kv.offset
            if window:
                at = mp.where(at < first, at, length - seen + at)
            if tree.topk > 1:
                own = tree.position(length, which, kv.offset - seen)
                at = mp.where(kv.offset < seen, at, own)
            outputs[f"kv_indptr_{step}"] = kv.indptr
            outputs[f"kv_indices_{step}"] = read(at)
        swa = None
        if swa_map:
            swa = mp.array("full_to_swa", i64.KIND, "slot", mp.between(-1, slots - 1))
        for step in range(tree.steps if sliding_window else 0):
            total = length + step + 1
            rail = mp.ragged(
                branch, mp.minimum(total, sliding_window) + which * 0, name=f"window_{step}"
            )
            at = total - rail.length + rail.offset
            if tree.topk > 1:
                at = mp.where(at < length, at, tree.position(length, which, at - length))
            token = read(at)
            outputs[f"window_kv_indptr_{step}"] = rail.indptr
            outputs[f"window_kv_indices_{step}"] = token if swa is None else swa[token]
        return outputs

    return sglang_eagle_draft


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
            v2p = mp.array(f"{name}_v2p", i64.KIND, size, _PLACES)
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
