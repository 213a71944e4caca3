# pyright: basic
"""The loops that are timed, on the GPU: graphs, streams and events between the same requests and the same numbers."""

from __future__ import annotations

import pytest
import torch

from bench.check import Judge
from bench.loops import accepted, idle, v4_sides
from bench.loops.drafting import Drafting, Shape
from bench.loops.model import SHAPES, Weights

pytestmark = pytest.mark.device


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("batch", [1, 4])
def test_every_loop_gives_its_requests_the_same_tokens(batch):
    table = idle.Table(idle.Point("tiny", batch, 40, 16), Weights(SHAPES["tiny"], "cuda"))
    for _ in range(2):  # from the beginning again
        assert {name: lines for name, lines in table.wrong(60).items() if lines} == {}
        assert table.distinct > 4
    table.close()


@pytest.mark.parametrize("drafts", [1, 3, 7])
def test_every_way_to_count_sees_the_oracles_positions_and_slots(drafts):
    drafting = Drafting(Shape(8, drafts, 60, verify=1), "cuda")
    for side in accepted.sides(drafting):
        for _ in range(2):
            assert accepted.watched(side, 60) == [], side.name


@pytest.mark.parametrize("batch", [1, 16, 64])
def test_every_preparation_fills_the_buffers_as_the_oracle_says(batch):
    judge = Judge(v4_sides.workload(batch, 16384), "cuda")
    for side in v4_sides.sides(judge):
        assert v4_sides.wrong(judge, side) == [], side.name
        side.close()
