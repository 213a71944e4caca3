# pyright: basic
"""The loop whose pages the device gives, on a GPU: every page counted, the tokens of a plain loop, no wait."""

from __future__ import annotations

import pytest
import torch

import metaplan as mp
from tests.loop.models import mix, plain, prefill
from tests.loop.paged import PAGE, Traffic, conserved, free, made, needed, owned
from tests.loop.serving import Server, drawn, expected

pytestmark = pytest.mark.device
ASLEEP = 60_000_000
"""Cycles: some 30 ms, longer than anything here takes on the host."""


def paged(**options):
    return made(device="cuda", paging="device", **options)


@pytest.mark.parametrize("lag", [0, 1, 2])
@pytest.mark.parametrize("drafts", [0, 1, 3])
def test_tokens_are_the_plain_loops(lag, drafts):
    words = 3 if drafts else 97
    loop, model = paged(words=words, drafts=drafts, lag=lag)
    server = Server(loop, model, drawn(lag, 24, words=words))
    out = {key: [int(token) for token in tokens] for key, tokens in server.run().items()}
    assert out == expected(server.asked, words=words)
    assert loop.flags() == {}
    conserved(loop)


@pytest.mark.parametrize(
    "options",
    [
        {"lag": 0},
        {"lag": 2, "buckets": (1, 4), "stop": (5, 9, 40)},
        {"lag": 2, "drafts": 3, "words": 3},
        {"lag": 0, "drafts": 6, "words": 2},
        {"lag": 0, "overlap": True},
        {"lag": 2, "overlap": True, "stop": (5, 9, 40)},
        {"lag": 1, "rows": 300, "pages": 3000},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_every_step_is_that_of_the_host_s_pages(options):
    words = options.get("words", 97)
    traffic = {"seed": 7, "words": words, "entering": max(options.get("rows", 0) // 4, 2)}
    hosted = Traffic(*made(device="cuda", **options), **traffic)
    there = Traffic(*paged(**options), **traffic)
    for _ in range(200):
        for side in (hosted, there):
            side.change()
            side.loop.flush()
        conserved(there.loop)
        pages, launched = needed(there.loop), there.loop.launched
        assert hosted.step() == there.step()
        conserved(there.loop)
        if there.loop.launched > launched and not options.get("overlap"):
            assert list(map(len, owned(there.loop))) == pages
    assert there.loop.flags() == hosted.loop.flags() == {}
    there.end()
    assert len(free(there.loop)) == there.loop.settings.pages - 1


def test_a_host_that_looks_at_nothing_sees_the_same():
    """As above, but no step waits for the one before: what is in flight meets what is changed."""
    for seed in range(3):
        sides = [
            Traffic(*made(device="cuda", lag=2, paging=paging), seed=seed)
            for paging in ("host", "device")
        ]
        told = [[], []]
        for _ in range(200):
            for traffic, out in zip(sides, told, strict=True):
                traffic.change()
                out += traffic.step()
        assert told[0] == told[1]
        conserved(sides[1].loop)


def test_capturing_changes_no_state():
    """Nor does the warm-up write to a page: to the model all rows are padding."""
    loop, model = paged(drafts=3, words=3)
    torch.cuda.synchronize()
    assert (model.cache[:-1] == 555).all()
    assert len(free(loop)) == loop.settings.pages - 1
    conserved(loop)
    assert loop.free_pages is not None
    assert int(loop.free_pages.there.free) == 0
    assert loop.state.block_table.sum() == 0


def test_neither_growth_nor_an_admission_waits():
    loop, _ = paged(lag=48)  # no step reads a result: the region is run several times
    loop.admit(length=1, token=3, most=60)
    loop.step()
    torch.cuda.synchronize()

    def pages_and_a_prompt():
        loop.admit(length=6, token=3, most=20).slots(0, 6)
        for _ in range(2 * PAGE):
            loop.step()

    assert mp.assert_sync_free(pages_and_a_prompt).clean
    loop.drain()
    conserved(loop)


def test_a_prompt_on_another_stream_waits_for_its_slots():
    """A step that sleeps still writes to a page that has a new owner: the new prompt comes behind it."""
    prompt = [5, 7, 11]
    loop, model = paged(rows=2, pages=3, lag=3)
    first = loop.admit(length=0, token=1, most=8)
    loop.step()
    torch.cuda.synchronize()
    torch.cuda._sleep(ASLEEP)
    loop.step()
    loop.step()
    loop.finish(first)
    request = loop.admit(length=len(prompt), token=0, most=4)
    slots = request.slots(0, len(prompt))
    other = torch.cuda.Stream()
    other.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(other):
        place = torch.arange(len(prompt), device="cuda")
        values = mix(torch.tensor(prompt, device="cuda"), place)
        model.cache[slots] = values
        token = (values * (place % 13 + 1)).sum().view(1) % 97
    torch.cuda.current_stream().wait_stream(other)
    loop.state.last_tokens[request.row : request.row + 1].copy_(token)
    out = [int(token)]
    while loop.busy:
        for done, tokens, _ in loop.step():
            out += tokens if done is request else []
    assert out == plain(prompt, 5)


def test_a_host_that_promises_too_much_is_told_and_harms_nobody():
    loop, model = paged(pages=12, rows=3, lag=1)
    prompt = [1, 2, 0, 1, 1, 2]
    served = loop.admit(length=len(prompt), token=0, most=10, key="served")
    token = prefill(model, served, prompt)
    loop.state.last_tokens[served.row : served.row + 1].copy_(token)
    out = {"served": [int(token)], "starved": []}
    loop.pool._promised -= 12  # pyright: ignore[reportAttributeAccessIssue]
    loop.admit(length=10, token=1, most=50, key="starved")
    while loop.busy:
        for request, tokens, _ in loop.step():
            out[request.key] += tokens
        conserved(loop)
    assert out["served"] == plain(prompt, 11)
    assert sum(loop.flags().values()) > 0
