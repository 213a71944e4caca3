# pyright: basic
"""What an engine's code would ask of a GPU is counted right without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from bench.launches import watching

pytestmark = pytest.mark.interp
HOST = torch.arange(4, dtype=torch.int32)


@triton.jit
def double(out, x, n: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(out + at, 2 * tl.load(x + at))


def kernel(x):
    double[(1,)](torch.empty_like(x), x, n=4)


def into(x):
    """A kernel's argument is on the device, wherever it was made."""
    mine = torch.zeros(4, dtype=torch.int32)
    double[(1,)](mine, x, n=4)
    mine.copy_(HOST)


@pytest.mark.parametrize(
    ("call", "launches", "copies", "waits"),
    [
        (kernel, 1, 0, 0),
        (into, 1, 1, 0),
        (lambda x: x[1:].view(-1)[::2], 0, 0, 0),
        (lambda x: torch.empty_like(x), 0, 0, 0),
        (lambda x: x + 1, 1, 0, 0),
        (lambda x: (x + 1).cumsum(0), 2, 0, 0),
        (lambda x: HOST + 1, 0, 0, 0),
        (lambda x: HOST.tolist(), 0, 0, 0),
        (lambda x: x.copy_(HOST), 0, 1, 0),
        (lambda x: torch.empty(4, dtype=torch.int32).copy_(x), 0, 1, 1),
        (lambda x: torch.empty(4, dtype=torch.int32).copy_(x, True), 0, 1, 0),
        (lambda x: HOST.to(torch.device("cpu"), non_blocking=True) + 1, 1, 1, 0),
        (lambda x: torch.tensor([1, 2], device=x.device) + 1, 1, 1, 0),
        (lambda x: torch.arange(4, device=x.device) + 1, 2, 0, 0),
        (lambda x: torch.arange(4) + 1, 0, 0, 0),
        (lambda x: torch.zeros(4, device="cpu", pin_memory=False), 1, 0, 0),
        (lambda x: int(x.max()), 1, 1, 1),
        (lambda x: x.cpu().numpy() + x.cpu().tolist()[0], 0, 2, 2),
        (lambda x: np.asarray(x), 0, 1, 1),
        (lambda x: x[x > 1], 2, 1, 1),
        (lambda x: x[HOST.long()], 1, 0, 0),
        (lambda x: x.nonzero(), 1, 1, 1),
        (lambda x: x.fill_(3), 1, 0, 0),
    ],
)
def test_it_counts(call, launches, copies, waits):
    with watching() as watch:
        given = torch.arange(4, dtype=torch.int32)
        watch.know(given)
        call(given)
        assert (watch.launches, watch.copies, watch.waits) == (launches, copies, waits)


def test_nothing_is_counted_outside():
    with watching() as watch:
        watch.know(HOST.clone())
    kernel(torch.arange(4, dtype=torch.int32))
    assert (watch.launches, watch.copies, watch.waits) == (0, 0, 0)
