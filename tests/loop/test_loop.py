# pyright: basic
"""A loop's tokens are those of a plain loop, whatever the drafts, the lag, and how rows come and go."""

from __future__ import annotations

import numpy as np
import pytest

import metaplan as mp
from tests.loop.models import Memory, plain
from tests.loop.serving import Server, drawn, expected

PAGES, PAGE = 60, 4


def served(seed=0, count=24, *, words=97, drafts=0, check=None, overlap=False, **options):
    loop = mp.Loop(
        rows=4,
        pages=PAGES,
        page=PAGE,
        longest=64,
        drafts=drafts,
        device="cpu",
        vocabulary=words,
        **options,
    )
    model = Memory(pages=PAGES, page=PAGE, words=words, drafts=drafts)
    loop.capture(model, drafted=drafts > 0, overlap=overlap)
    server = Server(loop, model, drawn(seed, count, words=words))
    return loop, server, server.run(check)


@pytest.mark.parametrize("lag", [0, 1, 2, 4])
@pytest.mark.parametrize("drafts", [0, 1, 3])
def test_tokens_are_the_plain_loops(lag, drafts):
    words = 3 if drafts else 97
    loop, server, out = served(lag, words=words, drafts=drafts, lag=lag)
    assert out == expected(server.asked, words=words)
    assert loop.flags() == {}
    assert loop.pool.free == PAGES - 1
    assert not loop.busy


@pytest.mark.parametrize("stop", [(), (5, 9, 40)])
@pytest.mark.parametrize("lag", [0, 1, 3])
def test_the_next_step_is_prepared_beside_the_end_of_this_one(lag, stop):
    loop, server, out = served(lag, lag=lag, stop=stop, overlap=True)
    for key, (first, *rest) in expected(server.asked, stop).items():
        if first not in stop:
            assert out[key] == [first, *rest]
    assert loop.flags() == {}
    assert loop.pool.free == PAGES - 1


def test_drafts_are_accepted_and_refused():
    """The test above sees both, else its drafts would prove nothing."""
    seen = set()
    loop = mp.Loop(rows=4, pages=PAGES, page=PAGE, longest=64, drafts=3, device="cpu", vocabulary=3)
    model = Memory(pages=PAGES, page=PAGE, words=3, drafts=3)
    loop.capture(model, drafted=True)
    for one in drawn(0, 4, words=3):
        loop.admit(length=0, token=one.prompt[0], most=40)
    while loop.busy:
        if produced := loop.step():
            seen |= set(produced.counts.tolist())
    assert seen >= {1, 2, 3}


@pytest.mark.parametrize("drafts", [0, 3])
def test_a_stop_token_ends_a_request_on_the_device(drafts):
    words, stop = (5, (4,)) if drafts else (97, (5, 9, 40))
    loop, server, out = served(3, 16, words=words, drafts=drafts, lag=2, stop=stop)
    for key, tokens in expected(server.asked, stop, words).items():
        first, *rest = tokens
        if first not in stop:
            assert out[key] == [first, *rest]
    assert loop.pool.free == PAGES - 1


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("drafts", [0, 2, 5])
def test_the_upper_bound_holds_at_every_launch(lag, drafts):
    """true <= upper <= true + lag * K, and the pages of a launch are enough."""
    over: list[int] = []

    def check(loop):
        live = loop.host.live
        true, upper = loop.state.lengths.numpy()[live], loop.host.upper[live]
        ended = true >= loop.state.limits.numpy()[live]
        over.extend((upper - true)[~ended].tolist())

    loop, *_ = served(1, 30, words=2, drafts=drafts, lag=lag, check=check)
    assert min(over) >= 0
    assert max(over) <= loop.bounds.slack


def test_a_request_that_is_finished_early_leaves_its_pages():
    loop = mp.Loop(rows=2, pages=20, page=4, longest=32, device="cpu", vocabulary=97)
    model = Memory(pages=20, page=4)
    loop.capture(model)
    first = loop.admit(length=0, token=3, most=20, key="a")
    other = loop.admit(length=0, token=4, most=20, key="b")
    for _ in range(3):
        loop.step()
    loop.finish(first)
    keys = {request.key for produced in (loop.step(), loop.step()) for request, *_ in produced}
    assert keys == {"b"}
    again = loop.admit(length=0, token=4, most=20, key="c")
    assert again.row == first.row
    out: dict[object, list[int]] = {"b": [], "c": []}
    while loop.busy:
        for request, tokens, _ in loop.step():
            out[request.key] += tokens
    assert out["c"] == plain([4], 20)
    assert loop.pool.free == 19
    assert not other.live


def test_pages_of_a_fenced_pool_wait_for_the_steps_in_flight():
    loop = mp.Loop(
        rows=1, pages=5, page=4, longest=16, lag=2, device="cpu", vocabulary=97, fenced=True
    )
    loop.capture(Memory(pages=5, page=4))
    request = loop.admit(length=0, token=1, most=16)
    for _ in range(3):
        loop.step()
    loop.finish(request)
    assert loop.pool.free + loop.pool.away == 4
    assert loop.pool.away > 0
    assert not loop.fits(0, 16)
    loop.drain()
    assert loop.pool.free == 4


def test_a_fenced_pool_holds_nothing_back_when_no_step_is_in_flight():
    """Nothing would ever be read again: a request that fits an empty cache fits here."""
    loop = mp.Loop(
        rows=1, pages=5, page=4, longest=16, lag=0, device="cpu", vocabulary=97, fenced=True
    )
    loop.capture(Memory(pages=5, page=4))
    loop.finish(loop.admit(length=0, token=1, most=16))
    assert loop.fits(0, 16)
    loop.admit(length=0, token=1, most=16)
    finish(loop)
    assert loop.fits(0, 16)
    assert loop.pool.away == 0


def test_a_violated_reservation_is_flagged_and_harms_nobody():
    loop = mp.Loop(rows=2, pages=20, page=4, longest=32, device="cpu", vocabulary=97)
    model = Memory(pages=20, page=4)
    loop.capture(model)
    victim = loop.admit(length=0, token=3, most=20)
    loop.step()
    assert loop.flags() == {}
    # A host that believes less than the truth reserves too little.
    loop.host.known[victim.row] -= 8
    for _ in range(8):
        loop.step()
    assert sum(loop.flags().values()) > 0


def test_mistakes_say_what_to_write():
    def loop(**given):
        return mp.Loop(
            **{"rows": 2, "pages": 8, "page": 4, "longest": 16, "device": "cpu", **given}
        )

    with pytest.raises(mp.CallError, match="rows is 0"):
        loop(rows=0)
    with pytest.raises(mp.CallError, match="lag is -1"):
        loop(lag=-1)
    with pytest.raises(mp.CallError, match=r"buckets \(3,\)"):
        loop(buckets=(3,))
    with pytest.raises(mp.CallError, match="no model yet"):
        loop().admit(length=1, token=1, most=1)
    small = loop()
    small.capture(Memory(pages=8, page=4))
    with pytest.raises(mp.CallError, match="sequences of 16"):
        small.admit(length=10, token=1, most=7)
    small.admit(length=10, token=1, most=6)
    with pytest.raises(mp.CallError, match="no room"):
        small.admit(length=10, token=1, most=6)
    with pytest.raises(mp.CallError, match="overlap needs counts"):
        loop(drafts=2).capture(Memory(pages=8, page=4), overlap=True)
    wrong = loop()
    wrong.capture(lambda batch: batch.input_ids.int())
    wrong.admit(length=1, token=1, most=1)
    with pytest.raises(mp.CallError, match=r"the model returned torch\.int32"):
        wrong.step()


def test_without_a_promise_the_pages_may_run_out():
    loop = mp.Loop(
        rows=2, pages=8, page=4, longest=28, device="cpu", vocabulary=97, overcommit=True
    )
    loop.capture(Memory(pages=8, page=4))
    loop.admit(length=0, token=1, most=28)
    second = loop.admit(length=0, token=1, most=28)
    launched = loop.launched
    with pytest.raises(mp.CallError, match="more pages"):
        finish(loop)
    assert loop.launched > launched
    loop.finish(second)
    finish(loop)
    assert loop.pool.free == 7


def finish(loop):
    while loop.busy:
        loop.step()


def test_the_whole_of_a_row_comes_back_from_its_results():
    produced = mp.Produced(
        3, [], np.zeros(0, np.int32), np.zeros((0, 1), np.int32), np.zeros(0, np.bool_)
    )
    assert list(produced) == []
    assert len(produced) == 0
