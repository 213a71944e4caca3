"""Where DeepSeek-V4's KV rows are: envelopes of compressed history at the bottom, slots at the top.

Restates the pool layout of ROCm's ATOM: a block's envelope holds its HCA rows, then its CSA rows; a
slot's entry holds the windows of dense layers, then HCA's, then CSA's; layers of a class interleave
in runs, so that one formula serves all of them from each layer's own base row.
"""

from __future__ import annotations

from collections.abc import Sequence

from metaplan.lang.plan import Plan
from metaplan.plans.shipped import Shipped
from metaplan.plans.v4_decode import CSA, DENSE, HCA, Model, Rows, Window, v4_decode


def rows_of(
    layers: Sequence[int],
    *,
    window: int = 128,
    drafts: int = 0,
    block: int = 256,
    num_blocks: int,
    num_slots: int,
    arena_rows: int = 0,
) -> Rows:
    """The row space of a model whose layers have these compress ratios (0, 4 or 128).

    Args:
        layers: the ratio of each layer.
        window: tokens that a window holds; its ring has room for the drafts beside them.
        drafts: draft tokens of a step.
        block: tokens of a block.
        num_blocks: blocks of compressed history.
        num_slots: requests that can have a slot.
        arena_rows: rows at the head of each slot that belong to something else.
    """
    ring = window + drafts
    count = {c: sum(ratio == c for ratio in layers) for c in (DENSE, HCA, CSA)}
    stride = {DENSE: ring, HCA: block // HCA, CSA: block // CSA}
    envelope, anchors = 0, {DENSE: 0}
    for c in (HCA, CSA):
        anchors[c] = envelope
        envelope += count[c] * stride[c]
    entry, starts = 0, dict[int, int]()
    for c in (DENSE, HCA, CSA):
        if count[c]:
            starts[c] = entry
            entry += _height(count[c], stride[c], ring)
    slot_rows = -(-(arena_rows + entry) // 2) * 2
    slots = num_slots + -(-num_blocks * envelope // slot_rows)
    windows = {
        c: Window(arena_rows + start - anchors[c], stride[c], count[c] * stride[c])
        for c, start in starts.items()
    }
    return Rows(slot_rows, slots, envelope, windows)


def _height(layers: int, stride: int, ring: int) -> int:
    """Rows from the first row of a class's first layer to the last row of its last."""
    last = ring - 1
    return (layers - 1) * stride + last // stride * (layers * stride) + last % stride + 1


LAYERS, DRAFTS = (0, 4, 128, 4, 128, 4), 7


def shipped() -> tuple[Shipped, ...]:
    return (Shipped("v4_decode", _shipped, {"req": 1024}),)


def _shipped() -> Plan:
    rows = rows_of(LAYERS, window=128, drafts=DRAFTS, num_blocks=1 << 16, num_slots=1 << 12)
    return v4_decode(Model(rows, drafts=DRAFTS))
