# pyright: basic
"""A row is another's as soon as its request's last step is launched: at a limit nobody has to read that it is over."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

import metaplan as mp
from metaplan.loop.bounds import Bounds
from metaplan.loop.host import Host
from metaplan.loop.request import Request
from tests.loop.models import Memory, plain

PAGES, PAGE = 40, 4


def looped(rows=1, *, words=97, drafts=0, **options):
    loop = mp.Loop(
        rows=rows,
        pages=PAGES,
        page=PAGE,
        longest=32,
        device="cpu",
        vocabulary=words,
        drafts=drafts,
        **options,
    )
    loop.capture(Memory(pages=PAGES, page=PAGE, words=words, drafts=drafts), drafted=drafts > 0)
    return loop


def serve(loop, most, count, out=None):
    """``count`` requests of ``most`` tokens, each as soon as it fits; what each got, and how many steps it took."""
    out = {key: [] for key in range(count)} if out is None else out
    asked = 0
    while asked < count or loop.busy:
        while asked < count and loop.fits(0, most):
            loop.admit(length=0, token=1 + asked, most=most, key=asked)
            asked += 1
        for request, tokens, _ in loop.step():
            out[request.key] += tokens
    return out


@pytest.mark.parametrize("paging", ["host", "device"])
@pytest.mark.parametrize("lag", [0, 1, 2, 4])
def test_no_step_runs_for_a_request_that_is_at_its_limit(lag, paging):
    loop = looped(lag=lag, paging=paging)
    assert serve(loop, most=5, count=6) == {key: plain([1 + key], 5) for key in range(6)}
    assert loop.launched == 5 * 6
    assert loop.flags() == {}
    assert loop.pool.free == PAGES - 1


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("drafts", [1, 3])
def test_the_host_never_believes_too_early_that_a_request_with_drafts_is_over(lag, drafts):
    """It counts a token a step, and learns of more by reading."""
    loop = looped(rows=3, words=3, drafts=drafts, lag=lag)
    asked = {key: plain([1 + key], 11, words=3) for key in range(2)}
    out = {key: [] for key in asked}
    serve(loop, most=11, count=2, out=out)
    assert out == asked
    fewest = 2 * -(-11 // (drafts + 1)) / 3
    assert fewest <= loop.launched < 2 * 11


def test_who_is_finished_behind_its_last_step_leaves_the_next_owner_alone():
    loop = looped(lag=2)
    first = loop.admit(length=0, token=1, most=3, key="first")
    for _ in range(3):
        loop.step()
    assert first.live
    assert not first.seated
    second = loop.admit(length=0, token=2, most=4, key="second")
    assert second.row == first.row
    loop.finish(first)
    out = {"first": [], "second": []}
    while loop.busy:
        for request, tokens, _ in loop.step():
            out[request.key] += tokens
    assert out == {"first": [], "second": plain([2], 4)}
    assert loop.pool.free == PAGES - 1


def test_a_fenced_page_waits_for_the_last_step():
    loop = looped(lag=2, fenced=True)
    loop.admit(length=0, token=1, most=3)
    for _ in range(3):
        loop.step()
    assert loop.pool.free == PAGES - 2
    assert loop.pool.away == 1
    loop.drain()
    assert loop.pool.free == PAGES - 1


def test_slots_of_a_request_are_refused_behind_its_last_step():
    loop = looped(lag=2, paging="device")
    request = loop.admit(length=0, token=1, most=1)
    loop.step()
    with pytest.raises(mp.CallError, match="is over"):
        request.slots(0, 1)


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("drafts", [0, 2, 7])
def test_the_host_knows_at_once_and_only_of_those_that_are_over(drafts, lag):
    """Beside a count of every row at every launch, and beside the truth, with random acceptance."""
    rng = np.random.default_rng(drafts + 10 * lag)
    host = Host(Bounds(drafts, lag), 8, PAGE)
    true, limits = np.zeros((2, 8), np.int64)
    flights: deque = deque()
    told = 0
    for _ in range(300):
        while host.room:
            row, length = host.row(), int(rng.integers(0, 20))
            true[row], limits[row] = length, length + int(rng.integers(1, 40))
            host.enter(Request(None, row, PAGE, int(limits[row])), length)
        flight = host.launch()
        counts = np.minimum(rng.integers(1, drafts + 2, 8), limits - true).astype(np.int32)
        true += counts
        expected = np.flatnonzero(host.known + host.pending >= host.limits).tolist()
        over = host.over()
        assert [request.row for request in over] == expected
        assert (true == limits)[expected].all()
        for request in over:
            host.leave(request)
        told += len(over)
        flights.append((flight, counts))
        left = int(rng.integers(0, lag + 1)) if rng.random() < 0.2 else lag
        while len(flights) > left:
            host.read(*flights.popleft())
    assert told > 20
