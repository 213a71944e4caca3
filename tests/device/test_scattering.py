# pyright: basic
"""On a GPU: patches travel at once, what is not distinct is told, kernels of the user's own run in the launch."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

import metaplan as mp
from metaplan import i32
from metaplan.errors import CallError

pytestmark = pytest.mark.device

ROWS, PAGES, PATCHES, CELLS = 64, 512, 32, 4096


@mp.plan
def tables(
    rows: Annotated[i32, "patch", mp.below(ROWS), mp.HOST],
    starts: Annotated[i32, "patch", mp.below(PAGES), mp.HOST],
    lengths: Annotated[i32, "patch", mp.between(0, PAGES), mp.HOST],
    contents: Annotated[i32, "cell", mp.HOST],
    table: Annotated[i32, "row", "page", mp.STATE],
):
    return dict(table=mp.patch(table, rows=rows, starts=starts, lengths=lengths, contents=contents))


def changes(seed):
    """Patches of rows that differ, and the contents of them all."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, PATCHES))
    rows = rng.permutation(ROWS)[:count].astype(np.int32)
    starts = rng.integers(0, PAGES, count).astype(np.int32)
    room = np.minimum(PAGES - starts, CELLS // PATCHES)
    lengths = (rng.random(count) * (room + 1)).astype(np.int32)
    contents = rng.integers(0, 1 << 30, int(lengths.sum())).astype(np.int32)
    return dict(rows=rows, starts=starts, lengths=lengths, contents=contents, patch=count)


def test_a_table_follows_the_host_s():
    step = tables.compile(patch=PATCHES, cell=CELLS, row=ROWS, page=PAGES)
    table = torch.zeros(ROWS, PAGES + 3, dtype=torch.int32, device="cuda")
    want = np.zeros((ROWS, PAGES + 3), np.int32)
    for seed in range(40):
        given = changes(seed)
        step(**given, table=table[:, :PAGES])
        at = 0
        for row, start, length in zip(
            given["rows"], given["starts"], given["lengths"], strict=True
        ):
            want[row, start : start + length] = given["contents"][at : at + length]
            at += length
    assert (table.cpu().numpy() == want).all()
    assert step.launches == 1
    assert not step.flags()


def test_patches_travel_in_one_transfer():
    step = tables.compile(patch=PATCHES, cell=CELLS, row=ROWS, page=PAGES)
    table = torch.zeros(ROWS, PAGES, dtype=torch.int32, device="cuda")
    given = changes(3)
    found = mp.audit(lambda: step(**given, table=table))
    assert not found.blocked
    assert sum("Memcpy" in name or "memcpy" in name for name in found.calls) <= 1


@mp.plan
def owners(slot: Annotated[i32, "req", mp.between(-1, 99), mp.HOST, mp.DISTINCT]):
    req = mp.axis("req")
    cell = mp.dense(None, 100)
    return dict(owner=mp.put(cell, slot, req.index, where=slot >= 0, init=-1))


def test_what_is_not_distinct_is_told_before_a_launch():
    step = owners.compile(req=8)
    step(slot=[4, -1, 7, -1], req=4)
    held = step.owner.clone()
    with pytest.raises(CallError, match="slot holds 7 twice"):
        step(slot=[7, 3, 7], req=3)
    torch.cuda.synchronize()
    assert torch.equal(step.owner, held)


def test_rows_that_become_live_are_looked_at_again():
    step = owners.compile(req=8)
    step(slot=np.array([4, 7, 4, 0, 0, 0, 0, 0], np.int32), req=2)
    with pytest.raises(CallError, match="slot holds 4 twice"):
        step(req=3)


@triton.jit
def halved(x):
    return x // 2


@triton.jit
def folded(
    program, table_ptr, table_stride, size_ptr, starts_ptr, out_ptr, WIDTH: tl.constexpr = 64
):
    size = tl.load(size_ptr)
    for row in range(program, size, 16):
        place = tl.arange(0, WIDTH)
        value = tl.load(table_ptr + row * table_stride + place)
        tl.store(out_ptr + row, halved(tl.sum(value, 0)) + tl.load(starts_ptr + row))


def folding(table: Any, size: int, starts: Any, *, out: Any) -> None:
    out[:size] = table[:size].sum(1) // 2 + starts[:size]


@mp.plan
def sums(
    n: Annotated[i32, "req", mp.below(9)], table: Annotated[i32, "req", 64, mp.below(1 << 16)]
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    starts = tok.indptr
    made = mp.opaque(
        folded,
        reads=(table, req.size, starts),
        writes=dict(out=mp.buffer(i32, req)),
        meaning=folding,
        programs=16,
    )
    return dict(starts=starts, totals=mp.sum(tok.offset, over=tok), **made)


def test_a_kernel_of_the_user_s_own_means_what_it_says():
    gpu, cpu = sums.compile(req=128), sums.compile(req=128, device="cpu")
    for seed, live in enumerate((0, 1, 100, 128)):
        rng = np.random.default_rng(seed)
        n = rng.integers(0, 9, live).astype(np.int32)
        table = rng.integers(0, 1 << 16, (live, 64)).astype(np.int32)
        cpu(n=n, table=table, req=live)
        gpu(n=torch.from_numpy(n).cuda(), table=torch.from_numpy(table).cuda(), req=live)
        for name, buffer in cpu.outputs.items():
            assert torch.equal(gpu.outputs[name].cpu(), buffer), name
    assert gpu.launches == 2
