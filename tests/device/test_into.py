# pyright: basic
"""Outputs in buffers of the caller's, on a GPU: what a graph reads is theirs."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch

import metaplan as mp
from metaplan import i32, i64

pytestmark = pytest.mark.device


@mp.plan
def lengths(seq_lens: Annotated[i32, "req", mp.between(1, 1 << 20)]):
    req = mp.axis("req")
    page = mp.dense(req, 3)
    return dict(
        last=mp.tail(seq_lens - 1, 0),
        cells=mp.tail(i64(seq_lens[req]) * 10 + i64(page.offset), -1),
    )


def test_a_graph_reads_what_is_written_into_the_callers():
    theirs = torch.full((1024,), 5, dtype=torch.int32, device="cuda")
    step = lengths.compile(req=1000, into={"last": theirs})
    seq_lens = torch.arange(1, 1001, dtype=torch.int32, device="cuda")
    step.bind(seq_lens=seq_lens, req=torch.tensor([900], dtype=torch.int32, device="cuda"))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step.emit()
        twice = theirs * 2
    for more in (0, 7):
        seq_lens += more
        graph.replay()
        wanted = torch.where(torch.arange(1000, device="cuda") < 900, seq_lens - 1, 0)
        assert torch.equal(theirs[:1000], wanted)
        assert (theirs[1000:] == 5).all()
        assert torch.equal(twice[:1000], 2 * wanted)
        assert (step.cells[:900, 2] == seq_lens[:900].long() * 10 + 2).all()
    assert step.last.data_ptr() == theirs.data_ptr()


def test_an_output_elsewhere_is_refused():
    with pytest.raises(mp.CallError, match="is to be written on cpu"):
        lengths.compile(req=8, into={"last": torch.zeros(8, dtype=torch.int32)})
