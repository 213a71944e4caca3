# pyright: basic
"""A launch that is interpreted quickly does the same, the second time too, and leaves the language as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from metaplan.checking.masks import boolean_masks

pytestmark = pytest.mark.interp


@triton.jit
def remainder(a, b):
    rest = a % b
    return tl.where(rest < 0, rest + b, rest)


@triton.jit
def twice(a, b):
    return remainder(a, b) + remainder(a + 1, b)


@triton.jit
def several(x_ptr, sorted_ptr, rows_ptr, columns_ptr, calls_ptr):
    row, column = tl.arange(0, 4), tl.arange(0, 8)
    at = row[:, None] * 8 + column[None, :]
    x = tl.load(x_ptr + at)
    tl.store(sorted_ptr + at, tl.sort(x, descending=True))
    tl.store(rows_ptr + row, tl.xor_sum(x, 1))
    tl.store(columns_ptr + column, tl.xor_sum(x, 0))
    tl.store(calls_ptr + at, twice(x, 5))


def test_a_kernel_does_the_same_at_every_launch():
    before = {name: getattr(tl, name) for name in ("load", "arange", "range", "reduce")}
    for seed in range(2):
        x = np.random.default_rng(seed).integers(-(2**31), 2**31 - 1, (4, 8)).astype(np.int32)
        shapes = ((4, 8), (4,), (8,), (4, 8))
        made = [torch.zeros(shape, dtype=torch.int32) for shape in shapes]
        with boolean_masks():
            several[(1,)](torch.from_numpy(x), *made)
        down, rows, columns, calls = (one.numpy() for one in made)
        assert (down == -np.sort(-x.astype(np.int64))).all()
        assert (rows == np.bitwise_xor.reduce(x, 1)).all()
        assert (columns == np.bitwise_xor.reduce(x, 0)).all()
        assert (calls == x % 5 + (x + 1) % 5).all()
    assert {name: getattr(tl, name) for name in before} == before
