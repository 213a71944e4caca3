# pyright: basic
"""The loop on a GPU: graphs, late results through pinned memory, the tokens of a plain loop."""

from __future__ import annotations

import pytest
import torch

import metaplan as mp
from tests.loop.models import Memory
from tests.loop.serving import Server, drawn, expected

pytestmark = pytest.mark.device
PAGES, PAGE = 60, 4


def serve(seed=0, count=24, *, words=97, drafts=0, rows=4, overlap=False, **options):
    loop = mp.Loop(
        rows=rows, pages=PAGES, page=PAGE, longest=64, drafts=drafts, vocabulary=words, **options
    )
    model = Memory(pages=PAGES, page=PAGE, words=words, drafts=drafts, device="cuda")
    loop.capture(model, drafted=drafts > 0, overlap=overlap)
    server = Server(loop, model, drawn(seed, count, words=words))
    server.run()
    out = {key: [int(token) for token in tokens] for key, tokens in server.out.items()}
    return loop, server, out


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("drafts", [0, 1, 3])
def test_tokens_are_the_plain_loops(lag, drafts):
    words = 3 if drafts else 97
    loop, server, out = serve(lag, words=words, drafts=drafts, lag=lag)
    assert out == expected(server.asked, words=words)
    assert loop.flags() == {}
    assert loop.pool.free == PAGES - 1


@pytest.mark.parametrize("lag", [0, 2])
def test_the_next_step_is_prepared_beside_the_end_of_this_one(lag):
    loop, server, out = serve(lag, lag=lag, overlap=True)
    assert out == expected(server.asked)
    assert loop.flags() == {}


@pytest.mark.parametrize("overlap", [False, True])
def test_stop_tokens_on_the_device(overlap):
    stop = (5, 9, 40)
    _, server, out = serve(3, 40, lag=2, stop=stop, overlap=overlap)
    for key, (first, *rest) in expected(server.asked, stop).items():
        if first not in stop:
            assert out[key] == [first, *rest]


def test_capturing_changes_no_state():
    """Warm-up and capture run the model and the plans before them; a request that is there stays as it is."""
    loop = mp.Loop(rows=2, pages=PAGES, page=PAGE, longest=64, vocabulary=97)
    model = Memory(pages=PAGES, page=PAGE, device="cuda")
    loop.capture(model)
    torch.cuda.synchronize()
    assert loop.state.lengths.tolist() == [0, 0]
    assert loop.results.tensor.sum() == 0


def test_a_quiet_step_does_not_wait():
    """A lag of two, three steps queued: the fourth reads the second's results only when they are there."""
    loop = mp.Loop(rows=2, pages=PAGES, page=PAGE, longest=64, lag=8, vocabulary=97)
    model = Memory(pages=PAGES, page=PAGE, device="cuda")
    loop.capture(model)
    loop.admit(length=0, token=3, most=60)
    for _ in range(4):
        loop.step()
    torch.cuda.synchronize()
    assert mp.assert_sync_free(loop.step).clean
    loop.drain()
