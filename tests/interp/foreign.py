"""Kernels of the user's own beside what the plan computes, and behind it."""

from __future__ import annotations

from typing import Annotated, Any

import triton
import triton.language as tl

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start


@triton.jit
def mixed(x, width: tl.constexpr):
    return x * width + 1


# fmt: off
@triton.jit
def gather_rows(program, table_ptr, table_stride, row_ptr, size_ptr, out_ptr, sum_ptr, WIDTH: tl.constexpr = 4):
    """A row of a table for each request, scaled."""
    size = tl.load(size_ptr)
    for row in range(program, size, 3):
        place = tl.arange(0, WIDTH)
        value = tl.load(table_ptr + tl.load(row_ptr + row) * table_stride + place)
        tl.store(out_ptr + row * WIDTH + place, mixed(value, WIDTH))  # rows are packed
        tl.store(sum_ptr + row, tl.sum(value, 0).to(tl.int64))
# fmt: on


def gathered(table: Any, row: Any, size: int, *, out: Any, sums: Any) -> None:
    for r in range(size):
        out[r] = table[row[r], :4] * 4 + 1
        sums[r] = table[row[r], :4].sum()


@triton.jit
def reversed_cells(program, indptr_ptr, of_ptr, size_ptr, out_ptr):
    end = tl.load(indptr_ptr + tl.load(size_ptr))
    place = program * 8 + tl.arange(0, 8)
    value = tl.load(of_ptr + (end - 1 - place), mask=place < end, other=0)
    tl.store(out_ptr + place, value, mask=place < end)


def reverse(indptr: Any, of: Any, size: int, *, cells: Any) -> None:
    end = int(indptr[size])
    cells[:end] = of[:end][::-1]


@mp.plan
def foreign(
    n: Annotated[i32, "req", mp.below(5)],
    row: Annotated[i32, "req", mp.below(6)],
    table: Annotated[i32, "row", 4, mp.between(-99, 99)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    wide = mp.dense(req, 4)
    values = mp.tail(tok.index * 3 + row, -1)
    starts = tok.indptr
    rows = mp.opaque(
        gather_rows,
        reads=(table, row, req.size),
        writes=dict(out=mp.buffer(i32, wide), sums=mp.buffer(i64, req)),
        meaning=gathered,
        programs=3,
    )
    back = mp.opaque(
        reversed_cells,
        reads=(starts, values, req.size),
        writes=dict(cells=mp.buffer(i32, tok)),
        meaning=reverse,
        programs=req,
    )
    again = mp.opaque(
        reversed_cells,
        reads=(starts, back["cells"], req.size),
        writes=dict(cells=mp.buffer(i32, tok)),
        meaning=reverse,
        programs=req,
    )
    return dict(starts=starts, marks=values, twice=again["cells"], **back, **rows)


def _rows(rng, n):
    return counts(rng, n, row=rng.integers(0, 6, n), table=rng.integers(-99, 99, (6, 4)))


@sample(foreign, _rows, req=6, row=6)
def _(given, to: Loops):
    n, row, table = given["n"].tolist(), given["row"].tolist(), given["table"]
    begin = start(n)
    values = [t * 3 + row[r] for r, k in enumerate(n) for t in range(begin[r], begin[r] + k)]
    to.put("starts", begin, begin[-1])
    to.put("marks", values, -1)
    to.put("cells", values[::-1])
    to.put("twice", values)
    for r in range(len(n)):
        to.out["out"][r] = [int(table[row[r], j]) * 4 + 1 for j in range(4)]
        to.out["sums"][r] = sum(int(table[row[r], j]) for j in range(4))
