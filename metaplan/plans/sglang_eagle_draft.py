"""What SGLang 0.5.23 prepares in front of an EAGLE draft: slots, positions and the KV lists of its steps.

The engine gathers the slots (speculative/eagle_worker_common.py), then a draft backend fills the
lists of every step, and once more those of sliding layers (kernels/ops/speculative/cache_locs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.arrays import Array

Outputs = dict[str, mp.Value | mp.Out | mp.Change]
PLACES = mp.between(-1, (1 << 24) - 1)


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

        v2p = mp.array("v2p", i64.KIND, v_pages, PLACES) if v_pages else None

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
