# pyright: basic
"""A staging slot fetched by a kernel: the device reads the pinned slot itself, no copy is queued."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from metaplan.runtime.compiled import compile_kernel, this_target
from metaplan.runtime.entry import Entry, caller, load
from metaplan.runtime.movers import Driver

WORDS = 512
"""Words of 4 bytes that one program fetches: 16 bytes a thread."""


@triton.jit
def fetch(block, slot, quads, WORDS: tl.constexpr):  # noqa: ANN001, ANN201  triton reads them
    """block[i] = slot[i] for i below 4 * ``quads``; the slot is host memory that the device reads."""
    word = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    live = word < quads * 4
    tl.store(block + word, tl.load(slot + word, mask=live, other=0), mask=live)


class Pull(Driver):
    """As the driver's mover, but one small kernel in place of each copy."""

    def __init__(self, slots: int, size: int, groups: int, *, device: Any) -> None:
        super().__init__(slots, size, groups, device=device)
        kernel = compile_kernel(
            fetch,
            {"block": "*i32", "slot": "*i32", "quads": "i32"},
            {"WORDS": WORDS},
            target=this_target(device),
            aligned=("block", "slot"),
        )
        quads, grid = size // 16, -(-size // (4 * WORDS))
        self.entries: tuple[Entry, ...] = tuple(
            load(
                kernel, grid, {"block": self.base, "slot": slot, "quads": quads}, device, self.block
            )
            for slot in self.addresses
        )
        self._calls = [caller(self._driver, self._context, entry) for entry in self.entries]

    def copy(self, slot: int, stream: int) -> None:
        self._calls[slot](stream)
