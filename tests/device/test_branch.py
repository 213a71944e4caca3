# pyright: basic
"""Work beside a stream: a branch of a captured graph, or a stream with events; and launches that start early."""

from __future__ import annotations

from typing import Annotated

import pytest
import torch

import metaplan as mp
from metaplan import i32

pytestmark = pytest.mark.device


def doubling(**options):
    @mp.plan
    def doubling(given: Annotated[i32, "row", mp.between(0, 1 << 20)]):
        row = mp.axis("row")
        return dict(doubled=given[row] * 2)

    given = torch.arange(64, dtype=torch.int32, device="cuda")
    step = doubling.compile(row=64, **options)
    step.bind(given=given, row=torch.tensor([64], dtype=torch.int32, device="cuda"))
    return step, given


def test_a_branch_of_a_graph_is_joined():
    step, given = doubling()
    step()
    branch = mp.Branch()
    after = torch.zeros_like(given)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        given.add_(1)
        with branch:
            torch.cuda._sleep(2_000_000)
            step.emit()
        branch.join()
        after.copy_(step.doubled)
    for turn in range(1, 4):
        graph.replay()
        assert torch.equal(after, (torch.arange(64, device="cuda") + turn).int() * 2)


def test_a_branch_runs_beside_the_stream():
    """Two sleeps of 20 ms beside each other take less than both."""
    branch = mp.Branch()
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    with branch:
        torch.cuda._sleep(40_000_000)
    torch.cuda._sleep(40_000_000)
    branch.join()
    last.record()
    torch.cuda.synchronize()
    together = first.elapsed_time(last)
    first.record()
    torch.cuda._sleep(40_000_000)
    last.record()
    torch.cuda.synchronize()
    assert together < 1.5 * first.elapsed_time(last)


def test_launches_that_start_early_wait_for_what_they_read():
    """Sixty-four dependent links: each reads what the one before wrote."""
    graph = torch.cuda.CUDAGraph()
    links = [doubling(dependent=True) for _ in range(4)]
    for step, _ in links:
        step()
    with torch.cuda.graph(graph):
        for _ in range(16):
            for (step, _), (_, given) in zip(links, links[1:] + links[:1], strict=True):
                step.emit()
                given.copy_(step.doubled).remainder_(1 << 20)
    graph.replay()
    wanted = [torch.arange(64, dtype=torch.int64)] * 4
    for _ in range(16):
        for at in range(4):
            wanted[(at + 1) % 4] = wanted[at] * 2 % (1 << 20)
    for (_, given), value in zip(links, wanted, strict=True):
        assert torch.equal(given.cpu().long(), value)


def test_dependent_kernels_are_launched_as_such():
    step, _ = doubling(dependent=True)
    assert all("griddepcontrol.wait" in k.text["ptx"] for k in step.kernels)  # pyright: ignore[reportAttributeAccessIssue]
