# pyright: basic
"""Free pages on the device: no page is lost or has two rows at any step, and the tokens are those of the host's pages."""

from __future__ import annotations

import pytest
import torch

import metaplan as mp
from metaplan.loop.plans import Plans
from metaplan.plans.decode_pages import decode_grow, decode_shrink
from tests.loop.models import plain, prefill
from tests.loop.paged import (
    PAGE,
    PAGES,
    Traffic,
    conserved,
    free,
    guarded,
    made,
    needed,
    owned,
)
from tests.loop.serving import Server, drawn, expected

EVERY = list(range(1, PAGES))


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("drafts", [0, 1, 3])
def test_tokens_are_the_plain_loops(lag, drafts):
    words = 3 if drafts else 97
    loop, model = made(words=words, drafts=drafts, lag=lag, paging="device", model=guarded)
    server = Server(loop, model, drawn(lag, 8, words=words))
    assert server.run(conserved) == expected(server.asked, words=words)
    assert loop.flags() == {}
    assert loop.pool.free == PAGES - 1


@pytest.mark.parametrize(
    "options",
    [
        {"lag": 0},
        {"lag": 2, "buckets": (1, 4)},
        {"lag": 1, "buckets": (2, 3, 4), "stop": (5, 9, 40)},
        {"lag": 2, "drafts": 3, "words": 3},
        {"lag": 0, "drafts": 6, "words": 2},
        {"lag": 1, "drafts": 2, "words": 5, "stop": (4,)},
        {"lag": 0, "overlap": True},
        {"lag": 2, "overlap": True, "stop": (5, 9, 40)},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_every_step_is_that_of_the_host_s_pages(options):
    """Random traffic through both: the same tokens and lengths; each row has what its step needed, and no page more."""
    words = options.get("words", 97)
    hosted = Traffic(*made(**options), seed=7, words=words)
    overlap = options.get("overlap", False)
    there = Traffic(*made(**options, paging="device"), seed=7, words=words)
    late = 0
    for _ in range(100):
        for side in (hosted, there):
            side.change()
            side.loop.flush()
        conserved(there.loop)
        pages, launched = needed(there.loop), there.loop.launched
        assert hosted.step() == there.step()
        for name in ("lengths", "limits", "last_tokens"):
            mine, other = (getattr(x.loop.state, name) for x in (hosted, there))
            assert torch.equal(mine, other), name
        conserved(there.loop)
        if there.loop.launched > launched and not overlap:
            assert list(map(len, owned(there.loop))) == pages
            late += 1
    assert late > 60 or overlap
    assert there.loop.flags() == hosted.loop.flags() == {}
    there.end()
    assert sorted(free(there.loop)) == EVERY
    assert there.loop.pool.free == PAGES - 1


def test_the_host_sends_who_enters_and_leaves_and_no_page(monkeypatch):
    sent = []

    def spied(self, changes):
        for transfer in changes.transfers():
            sent.append(transfer)
            self.change.send(**transfer)

    monkeypatch.setattr(Plans, "apply", spied)
    loop, _ = made(paging="device", lag=0)
    loop.admit(length=0, token=1, most=60)
    while loop.busy:
        loop.step()
    # One request, fifteen pages, one transfer.
    assert [set(transfer) for transfer in sent] == [
        {"entry", "rows", "new_lengths", "new_limits", "new_tokens"}
    ]
    sent.clear()
    hosted, _ = made(lag=0)
    hosted.admit(length=0, token=1, most=60)
    while hosted.busy:
        hosted.step()
    assert len(sent) > 1


@pytest.mark.parametrize(
    ("options", "graph", "behind"),
    [
        ({}, 2, 0),
        ({"overlap": True}, 3, 1),
        ({"paging": "device"}, 3, 2),
        ({"paging": "device", "overlap": True}, 5, 5),
        ({"paging": "device", "drafts": 3}, 3, 2),
    ],
)
def test_launches_of_a_step_and_behind_a_change(options, graph, behind):
    """What docs/loop.md says of them; a plan is one launch."""
    plans = made(**options)[0]._plans
    step = (*plans.front, *plans.beside, *plans.back)
    assert all(one.launches == 1 for one in (*step, *plans.fresh, plans.change))
    assert (len(step), len(plans.fresh)) == (graph, behind)


def test_a_row_that_is_over_beyond_the_bucket_gives_its_pages_back():
    """The only request that runs has row 0, and the step of one row serves the pages of all."""
    loop, _ = made(paging="device", lag=2, buckets=(1, 4))
    loop.admit(length=1, token=1, most=60)
    for _ in range(3):
        loop.admit(length=20, token=1, most=1)
    # Until the host reads that they are over, steps are of four rows; one more is of one.
    for _ in range(5):
        loop.step()
    assert loop.host.top == 1
    assert [len(pages) for pages in owned(loop)] == [2, 0, 0, 0]
    conserved(loop)


def test_a_new_owner_inherits_the_pages_that_it_needs():
    loop, model = made(paging="device")
    first = loop.admit(length=30, token=1, most=10)
    loop.step()
    before = owned(loop)[first.row]
    loop.finish(first)
    second = loop.admit(length=9, token=1, most=4)
    assert second.row == first.row
    prompt = list(range(9))
    token = prefill(model, second, prompt)
    assert owned(loop)[second.row] == before[:3]
    assert len(free(loop)) == PAGES - 1 - 3
    conserved(loop)
    loop.state.last_tokens[second.row] = token
    out = [int(token)]
    while loop.busy:
        for request, tokens, _ in loop.step():
            out += tokens if request is second else []
    assert out == plain(prompt, 5)


def all_of_it(loop):
    """Two requests leave, and the next one needs what both had before any step; how often it found too few."""
    small = loop.admit(length=1, token=1, most=3)
    large = loop.admit(length=60, token=1, most=4)
    loop.flush()
    for request in (small, large):
        loop.finish(request)
    again = loop.admit(length=60, token=1, most=4)
    assert again.row == small.row
    slots = again.slots(0, 60).tolist()
    return sum(loop.flags().values()), slots


def test_all_pages_go_to_the_next_request_at_once():
    loop, _ = made(paging="device", pages=18, rows=2)
    missed, slots = all_of_it(loop)
    assert missed == 0
    assert len(set(slots)) == 60
    assert min(slots) >= PAGE
    conserved(loop)


def test_a_change_that_gives_before_it_takes_back_finds_too_few(monkeypatch):
    def reversed_order(self, free, state):
        forth, back = state | free.forth(), state | free.back()
        self.grow = (self._compiled(decode_grow(self.settings), **forth),)
        self.entered = (
            self._compiled(decode_grow(self.settings, entering=True), **forth),
            self._compiled(decode_shrink(self.settings), **back),
        )

    monkeypatch.setattr(Plans, "_paging", reversed_order)
    loop, _ = made(paging="device", pages=18, rows=2)
    missed, slots = all_of_it(loop)
    assert missed > 0
    assert len(set(slots)) < 60


@pytest.mark.parametrize("drafts", [0, 3])
def test_a_host_that_promises_too_much_is_told_and_harms_nobody(drafts):
    words = 3 if drafts else 97
    loop, model = made(
        paging="device", pages=12, rows=3, lag=1, drafts=drafts, words=words, model=guarded
    )
    prompt = [1, 2, 0, 1, 1, 2]
    served = loop.admit(length=len(prompt), token=0, most=10, key="served")
    token = prefill(model, served, prompt)
    loop.state.last_tokens[served.row] = token
    out = {"served": [int(token)], "starved": []}
    # A host that has lost count: the device has eleven pages, these two are promised twenty.
    loop.pool._promised -= 12
    assert loop.fits(10, 50)
    loop.admit(length=10, token=1, most=50, key="starved")
    while served.live:
        for request, tokens, _ in loop.step():
            out[request.key] += tokens
        conserved(loop)
    while loop.busy:
        loop.step()
        conserved(loop)
    assert out["served"] == plain(prompt, 11, words=words)
    assert sum(loop.flags().values()) > 0
    assert any("decode_pages.py" in line for line in loop.flags())
    loop.flush()
    loop.finish(loop.admit(length=0, token=0, most=1))
    loop.flush()
    assert sorted(free(loop)) == list(range(1, 12))


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("drafts", [0, 3])
def test_more_than_fits_may_be_admitted(lag, drafts):
    """With ``overcommit`` the upper bounds decide; a request is ended where they exceed the pages."""
    words = 3 if drafts else 97
    loop, model = made(
        paging="device",
        pages=20,
        lag=lag,
        drafts=drafts,
        words=words,
        overcommit=True,
        model=guarded,
    )
    traffic = Traffic(loop, model, seed=3, words=words)
    preempted = 0
    for _ in range(100):
        traffic.change()
        while True:
            try:
                traffic.step()
            except mp.CallError:
                loop.finish(next(one for one in traffic._live if one.live))
                loop.flush()
                preempted += 1
            else:
                break
        conserved(loop)
    assert preempted > 3
    assert loop.flags() == {}
    traffic.end()
    assert sorted(free(loop)) == list(range(1, 20))
    assert loop.pool.free == 19


def test_mistakes_say_what_to_write():
    with pytest.raises(mp.CallError, match="paging is 'gpu'"):
        made(paging="gpu")
    with pytest.raises(mp.CallError, match="fenced=True holds back"):
        made(paging="device", fenced=True)
    loop, _ = made(paging="device", lag=0)
    request = loop.admit(length=6, token=1, most=1)
    with pytest.raises(mp.CallError, match="does not know which pages"):
        _ = request.pages
    with pytest.raises(mp.CallError, match="enters with pages for 7"):
        request.slots(0, 8)
    assert request.slots(0, 6).tolist() == [4, 5, 6, 7, 8, 9]
    loop.step()
    with pytest.raises(mp.CallError, match="the request is over"):
        request.slots(0, 6)


def test_a_model_is_captured_with_padding_only():
    """What a model sees before the first request, also where the plan in front of it is passed by."""
    loop, _ = made(paging="device")
    plans = loop._plans
    assert plans is not None
    assert set(plans.outputs["slot_mapping"].view(-1).tolist()) == {-1}
