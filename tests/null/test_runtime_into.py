# pyright: basic
"""Outputs in buffers of the caller's, without a GPU."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
import torch

import metaplan as mp
from metaplan import i32


@mp.plan
def lengths(seq_lens: Annotated[i32, "req", mp.between(1, 12)]):
    """An output that keeps its tail, one that fills it, one of two dimensions."""
    req = mp.axis("req")
    page = mp.dense(req, 3)
    return dict(
        last=seq_lens - 1,
        pages=mp.tail(mp.cdiv(seq_lens, 4), 0),
        cells=seq_lens[req] * 10 + page.offset,
    )


def step(**into):
    return lengths.compile(req=4, device="cpu", into=into)


def test_it_is_written_where_the_caller_reads():
    theirs = {"last": torch.full((6,), 5, dtype=torch.int32), "cells": torch.ones(4, 3).int()}
    own, into = step(), step(**theirs)
    for one in (own, into):
        one(seq_lens=np.array([9, 3, 12, 1], np.int32), req=3)
    for name in own.outputs:
        assert torch.equal(getattr(into, name), getattr(own, name)), name
    assert theirs["last"].tolist() == [8, 2, 11, 0, 5, 5]
    assert into.last.data_ptr() == theirs["last"].data_ptr()
    assert into.cells.data_ptr() == theirs["cells"].data_ptr()


def test_nothing_is_touched_unless_all_are_right():
    right, short = torch.full((4,), 5, dtype=torch.int32), torch.ones(3, dtype=torch.int32)
    with pytest.raises(mp.CallError, match=r"pages has shape \[3\]"):
        step(last=right, pages=short)
    assert right.tolist() == [5] * 4


def test_two_outputs_do_not_share_memory():
    shared = torch.zeros(16, dtype=torch.int32)
    step(last=shared[:4], pages=shared[4:8])
    with pytest.raises(mp.CallError, match=r"last and pages .* the same memory"):
        step(last=shared[:8], pages=shared[:4])
    whole = torch.zeros(20, dtype=torch.int32)
    step(pages=whole[:4], last=whole[4:])
    with pytest.raises(mp.CallError, match="same memory"):
        step(cells=whole[:12].view(4, 3), last=whole[8:])
