"""The smallest kernel that a step's runtime launches: a column plus an integer, over its live rows."""

from __future__ import annotations

import triton
import triton.language as tl

TYPES = {"out": "*i32", "values": "*i32", "count": "*i32", "more": "i32"}


@triton.jit
def add(out, values, count, more, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < tl.load(count)
    value = tl.load(values + row, mask=live, other=0)
    tl.store(out + row, value + more, mask=live)
