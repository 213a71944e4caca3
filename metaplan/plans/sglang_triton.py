"""The metadata of SGLang 0.5.23's Triton attention: slot lists, windows, and parts of long sequences.

The engine sums, copies and gathers its lists one after the other, and one program counts the parts in
which each sequence is read (srt/layers/attention/triton_backend.py and
kernels/ops/attention/metadata.py). Here one launch does a step's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.lang.arrays import Array
from metaplan.lang.axes import Axis
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def _cdiv(a: mp.Value, b: mp.Value) -> mp.Value:
    return (a + b - 1) // b


@dataclass(frozen=True, slots=True)
class Splits:
    """Decode attention reads a sequence in at most ``most`` parts, for so many query and KV heads."""

    most: int = 16
    heads: int = 32
    kv_heads: int = 8

    def parts(self, req: Axis, length: mp.Value, cores_of: Array) -> tuple[mp.Value, mp.Value]:
        """The parts of every sequence, and whether the lengths differ enough to matter."""
        group = self.heads // self.kv_heads
        blocks = self.heads if group == 1 else -(-self.heads // min(16, group))
        longest = mp.maximum(mp.max(length, over=req), 1)
        least = mp.minimum(mp.maximum(mp.min(length, over=req), 1), longest)
        shortest = mp.where(longest * 8 < least * 10, longest, least)
        grid = mp.maximum(req.size, 1) * blocks
        parts = length * 0
        for fitting in (_cdiv(longest, shortest), _cdiv(cores_of[longest], grid)):
            most = mp.maximum(mp.minimum(fitting, self.most), 1)
            parts = mp.maximum(parts, _cdiv(length, mp.maximum(_cdiv(longest, most), 1)))
        return parts, shortest < longest


def sglang_triton(
    *,
    window: int = 0,
    moved: bool = False,
    drafts: int = 0,
    extend: int = 0,
    splits: Splits | None = None,
    context: int = 131072,
    rows: int = 4096,
    slots: int = 1 << 24,
) -> mp.Plan:
    """The plan of one kind of step.

    Args:
        window: tokens that a sliding-window layer sees, 0 for none.
        moved: those layers have a pool of their own, to which ``full_to_swa`` leads.
        drafts: tokens of a request to verify with a mask, in a verify step.
        extend: new tokens of a request that the lists leave out, in a draft extend.
        splits: count the parts in which sequences are read, in a decode step. ``cores_of[n]`` is then
            how many programs are worthwhile where the longest has n tokens: the engine takes a
            logarithm of n.
        context: the longest sequence.
        rows: rows of ``req_to_token``.
        slots: slots of the KV pool.
    """

    @mp.plan
    def sglang_triton(
        req_pool_indices: Annotated[i64, "req", mp.below(rows)],
        seq_lens: Annotated[i64, "req", mp.between(0, context)],
        req_to_token: Annotated[i32, "row", "context", mp.below(slots)],
    ) -> Outputs:
        req = mp.axis("req")
        length = i32(seq_lens)
        if extend:
            extend_lens = mp.array("extend_lens", i32.KIND, "req", mp.between(0, extend))
            length = mp.maximum(length - extend_lens, 0)
        entry = mp.ragged(req, length)
        outputs: Outputs = dict(
            kv_indptr=entry.indptr,
            kv_indices=i64(req_to_token[req_pool_indices, entry.offset]),
        )
        if drafts or extend:
            outputs["qo_indptr"] = mp.indptr(i64(0 * length + (drafts or extend)))
        if drafts:
            outputs["mask_indptr"] = mp.indptr(i64(drafts * (length + drafts)))
        lists = [("", length)]
        if window:
            seen = mp.ragged(req, mp.minimum(length, window))
            first = length - seen.length
            slot = i64(req_to_token[req_pool_indices, first + seen.offset])
            if moved:
                full_to_swa = mp.array("full_to_swa", i64.KIND, "slot", mp.between(-1, slots))
                slot = full_to_swa[slot]
            outputs["window_kv_indptr"] = seen.indptr
            outputs["window_kv_indices"] = slot
            if drafts or extend:
                outputs["window_kv_offsets"] = first
            lists.append(("window_", seen.length))
        if splits is not None:
            cores_of = mp.array("cores_of", i32.KIND, "tokens", mp.between(1, 1 << 16))
            for name, seen_length in lists:
                parts, uneven = splits.parts(req, seen_length, cores_of)
                outputs[f"{name}num_kv_splits"] = parts
                if not name:
                    outputs["uneven_batch"] = i32(uneven)
        return outputs

    return sglang_triton


def shipped() -> tuple[Shipped, ...]:
    sizes = {"req": 1024, "entry": 1 << 24, "row": 4096}
    return (
        Shipped(
            "sglang_triton",
            lambda: sglang_triton(window=1024, moved=True, splits=Splits()),
            sizes,
        ),
        Shipped(
            "sglang_triton_verify", lambda: sglang_triton(window=1024, moved=True, drafts=8), sizes
        ),
    )
