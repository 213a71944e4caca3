# pyright: basic
"""A row that has ended stays in the batch as padding: it must write nowhere, whatever it held before."""

from __future__ import annotations

from typing import Annotated

import pytest

import metaplan as mp
from metaplan import i32, i64
from metaplan.loop import plans
from tests.loop.models import Memory
from tests.loop.serving import Server, drawn, expected

PAGES, PAGE = 40, 4


def unguarded(s):
    """The plan in front of a step, but for one thing: a row that is over keeps what it had."""

    @mp.plan
    def decode_prepare(
        lengths: Annotated[i32, "row", mp.between(0, s.longest)],
        limits: Annotated[i32, "row", mp.between(0, s.longest)],
        reserved: Annotated[i32, "row", mp.between(0, s.longest + s.page)],
        last_tokens: Annotated[i64, "row", mp.below(s.vocabulary)],
        block_table: Annotated[i32, "row", "page", mp.below(s.pages)],
    ):
        row = mp.axis("row")
        query = mp.dense(row, 1)
        live = lengths < limits
        slot = i64(block_table[row, lengths // s.page]) * s.page + i64(lengths % s.page)
        return dict(
            input_ids=mp.on(query, mp.where(live, last_tokens[row], 0)),
            positions=mp.on(query, mp.where(live, i64(lengths), 0)),
            slot_mapping=mp.keep(mp.on(query, slot), where=live),
            seq_lens=mp.where(live & (reserved >= 0), lengths + 1, 0),
        )

    return decode_prepare


def served():
    loop = mp.Loop(rows=4, pages=PAGES, page=PAGE, longest=64, device="cpu", vocabulary=97)
    model = Memory(pages=PAGES, page=PAGE)
    loop.capture(model)
    server = Server(loop, model, drawn(4, 24, words=97))
    return server, server.run()


def test_a_row_that_is_over_writes_nowhere():
    server, out = served()
    assert out == expected(server.asked)


def test_without_its_tail_it_writes_into_a_page_that_is_anothers_by_now(monkeypatch):
    monkeypatch.setattr(plans, "decode_prepare", unguarded)
    server, out = served()
    assert out != expected(server.asked)


@pytest.mark.parametrize("bucket", [(1, 4), (2, 3, 4)])
def test_any_buckets_give_the_same_tokens(bucket):
    loop = mp.Loop(
        rows=4, pages=PAGES, page=PAGE, longest=64, device="cpu", vocabulary=97, buckets=bucket
    )
    model = Memory(pages=PAGES, page=PAGE)
    loop.capture(model)
    server = Server(loop, model, drawn(5, 12, words=97))
    assert server.run() == expected(server.asked)
