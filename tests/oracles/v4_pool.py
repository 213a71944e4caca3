"""Where a KV row of DeepSeek-V4 lives: one row space for compressed history and for windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .ragged import ceil_div

Rows = TypeVar("Rows", int, NDArray[np.int64])

DENSE, CSA, HCA = 0, 4, 128
"""Compress ratio of a layer: window only, one entry in 4 tokens, one entry in 128 tokens."""


class Pool:
    """Row space shared by compressed history (by block) and windows (by slot).

    Plane rows 0.. hold ``num_blocks`` envelopes; slots sit at the top, slot position j at rows
    [j * slot_rows, (j + 1) * slot_rows). The view of a layer starts at its base row, so the rows
    below are relative to that base and the same for every layer of one compress class.
    """

    def __init__(
        self,
        layer_ratios: Sequence[int],
        num_blocks: int,
        num_slots: int,
        ring: int,
        block: int = 256,
        arena_rows: int = 0,
        align: int = 2,
    ) -> None:
        self.ratios, self.ring, self.block = list(layer_ratios), ring, block
        self.arena_rows, self.num_blocks, self.num_slots = arena_rows, num_blocks, num_slots
        count = {c: sum(1 for ratio in layer_ratios if ratio == c) for c in (DENSE, HCA, CSA)}
        self.count = count
        self.stride = {DENSE: ring, HCA: block // HCA, CSA: block // CSA}
        # An envelope: the rows of HCA layers, then those of CSA layers.
        self.envelope_offset: dict[int, int] = {}
        at = 0
        for c in (HCA, CSA):
            if count[c]:
                self.envelope_offset[c] = at
                at += count[c] * self.stride[c]
        self.envelope_rows = at
        # An entry of a slot: windows of dense layers, of HCA layers, of CSA layers.
        self.entry_offset: dict[int, int] = {}
        at = 0
        for c in (DENSE, HCA, CSA):
            if count[c]:
                self.entry_offset[c] = at
                at += self._entry_height(count[c], self.stride[c])
        self.entry_rows = at
        self.slot_rows = ceil_div(arena_rows + at, align) * align
        self.slot_positions = num_slots + ceil_div(num_blocks * self.envelope_rows, self.slot_rows)
        self.plane_rows = self.slot_positions * self.slot_rows
        self.classes = [c for c in (DENSE, HCA, CSA) if count[c]]

    def _entry_height(self, layers: int, stride: int) -> int:
        last = self.ring - 1
        return (layers - 1) * stride + (last // stride) * (layers * stride) + last % stride + 1

    def ring_start(self, c: int) -> int:
        """First row of the window of class ``c`` in slot 0."""
        anchor = 0 if c == DENSE else self.envelope_offset[c]
        return self.arena_rows + self.entry_offset[c] - anchor

    def run_rows(self, c: int) -> int:
        """Rows from one run of a layer's window to its next: every layer of the class owns one."""
        return self.count[c] * self.stride[c]

    def physical_slot(self, group: Rows) -> Rows:
        """Slot position of a state group: groups count down from the top of the plane."""
        return self.slot_positions - 1 - group

    def window_row(
        self, c: int, slot: NDArray[np.int64], position: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Row of each ``position`` in the window that each ``slot`` holds for class ``c``."""
        ring, stride = position % self.ring, self.stride[c]
        base = slot * self.slot_rows + self.ring_start(c)
        return base + (ring // stride) * self.run_rows(c) + ring % stride

    def window_row_by_hand(self, c: int, slot: int, position: int) -> int:
        """The same row without the closed form: walk the interleave run by run."""
        row, left = 0, position % self.ring
        while left >= self.stride[c]:
            row += self.count[c] * self.stride[c]
            left -= self.stride[c]
        base = slot * self.slot_rows + self.arena_rows + self.entry_offset[c]
        return base + row + left - (0 if c == DENSE else self.envelope_offset[c])

    def compress_row(self, block: Rows, row: Rows) -> Rows:
        """Row of compressed entry ``row`` of a physical block."""
        return block * self.envelope_rows + row
