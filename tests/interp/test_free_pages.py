# pyright: basic
"""The plans that give pages and take them back: kernel, meaning and lists of pages, with too few pages as well."""

from __future__ import annotations

import numpy as np
import pytest
from differential import Compiled, compare

from metaplan.plans.decode_loop import decode_prepare
from metaplan.plans.decode_pages import decode_enter, decode_grow, decode_shrink
from metaplan.plans.decode_settings import Settings

pytestmark = pytest.mark.interp
PAGE, LONGEST, WORDS = 4, 40, 31
WIDTH = LONGEST // PAGE
SMALL, LARGE = (9, 48), (260, 900)
"""Rows, of which one program has all or some, and pages."""


def settings(drafts: int, pages: int) -> Settings:
    return Settings(drafts, PAGE, LONGEST, pages, WORDS)


class Rows:
    """Rows with pages of their own, some over, some with too many or too few; the rest are on a stack."""

    def __init__(self, rng: np.random.Generator, count: int, every: int, live: int) -> None:
        pages = rng.permutation(np.arange(1, every)).tolist()
        self.count, self.pages, self.live = count, every, live
        self.lengths = rng.integers(0, LONGEST, count)
        self.limits = np.minimum(self.lengths + rng.integers(0, 6, count), LONGEST)
        self.limits[rng.integers(0, 4, count) == 0] = 0
        counts = np.minimum(
            -(-self.lengths // PAGE) + rng.integers(-1, 3, count), WIDTH
        ) * rng.integers(0, 2, count)
        self.owned = [[pages.pop() for _ in range(min(max(n, 0), len(pages)))] for n in counts]
        self.free = pages[: int(rng.choice([0, 2, len(pages)]))]

    def needed(self, row: int, queries: int) -> int:
        length, limit = self.lengths[row], self.limits[row]
        return -(-min(length + queries, limit) // PAGE) if length < limit else 0

    def given(self, rng: np.random.Generator) -> dict:
        """What the plans take: garbage where nothing is said."""
        stack = rng.integers(0, self.pages, self.pages)
        stack[: len(self.free)] = self.free
        table = rng.integers(0, self.pages, (self.count, WIDTH))
        for row, pages in enumerate(self.owned):
            table[row, : len(pages)] = pages
        return dict(
            lengths=self.lengths,
            limits=self.limits,
            reserved=np.array([len(pages) * PAGE for pages in self.owned]),
            free=np.array([len(self.free)]),
            free_pages=stack,
            block_table=table,
            next_reserved=rng.integers(0, 99, self.count),
            next_free=rng.integers(0, 99, 1),
            row=self.live,
        )

    def check(self, filled: dict) -> None:
        """What a plan wrote says what these lists say."""
        assert filled["next_free"][0] == len(self.free)
        for row in range(self.live):
            assert filled["next_reserved"][row] == PAGE * len(self.owned[row])

    def slots(self, row: int, queries: int) -> list[int]:
        """Where the step's tokens go that have a page."""
        length, limit = int(self.lengths[row]), int(self.limits[row])
        room = min(limit, PAGE * len(self.owned[row]))
        return [
            self.owned[row][pos // PAGE] * PAGE + pos % PAGE if pos < room else -1
            for pos in range(length, length + queries)
        ]

    def grow(self, queries: int, most: int) -> int:
        """How many pages there were too few."""
        missed = 0
        for row in range(self.live):
            for _ in range(min(max(self.needed(row, queries) - len(self.owned[row]), 0), most)):
                if self.free:
                    self.owned[row].append(self.free.pop())
                else:
                    missed += 1
        return missed

    def shrink(self, queries: int) -> None:
        for row in range(self.live):
            kept = min(self.needed(row, queries), len(self.owned[row]))
            self.free += self.owned[row][kept:]
            del self.owned[row][kept:]


def taken(one: Compiled, given: dict) -> dict:
    names = {i.name for i in one.plan.inputs} | {"row"}
    return {name: value for name, value in given.items() if name in names}


def live_rows(rows: int) -> tuple[int, ...]:
    return (rows, 1, rows, rows - 2, 0, rows, rows) if rows < 99 else (rows, rows - 100)


@pytest.mark.parametrize("drafts", [0, 3, 5])
@pytest.mark.parametrize("entering", [False, True])
@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_rows_are_given_what_they_lack(shape: tuple[int, int], entering: bool, drafts: int) -> None:
    rows, pages = shape
    plan = decode_grow(settings(drafts, pages), entering=entering)
    one = Compiled(plan.ir, {"row": rows, "page": WIDTH})
    rng = np.random.default_rng(drafts + entering)
    most, short = WIDTH if entering else -(-(drafts + 1) // PAGE), 0
    for seed, live in enumerate(live_rows(rows)):
        held = Rows(rng, rows, pages, live)
        given = held.given(rng)
        filled = compare(one, taken(one, given), seed)
        short += held.grow(drafts + 1, most) > 0
        held.check(filled)
        before, after = given["block_table"], filled["block_table"]
        for row in range(rows):
            owned = held.owned[row]
            assert after[row, : len(owned)].tolist() == owned
            assert (after[row, len(owned) :] == before[row, len(owned) :]).all()
    assert short > 0


@pytest.mark.parametrize("drafts", [0, 5])
@pytest.mark.parametrize("prepares", [False, True])
@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_what_is_over_comes_back(shape: tuple[int, int], prepares: bool, drafts: int) -> None:
    rows, pages = shape
    s = settings(drafts, pages)
    plan = decode_prepare(s, shrink=True) if prepares else decode_shrink(s)
    one = Compiled(plan.ir, {"row": rows, "page": WIDTH})
    rng = np.random.default_rng(drafts)
    for seed, live in enumerate(live_rows(rows)):
        held = Rows(rng, rows, pages, live)
        given = held.given(rng) | dict(
            last_tokens=rng.integers(0, WORDS, rows),
            draft_tokens=rng.integers(0, WORDS, (rows, drafts)),
        )
        before = given["free_pages"].copy()
        filled = compare(one, taken(one, given), seed)
        if prepares:
            slots = filled["slot_mapping"].reshape(rows, -1)
            for row in range(live):
                assert slots[row].tolist() == held.slots(row, drafts + 1)
        held.shrink(drafts + 1)
        held.check(filled)
        stack, there = filled["free_pages"], len(held.free)
        assert stack[:there].tolist() == held.free
        assert (stack[there:] == before[there:]).all()


def test_rows_enter_and_leave() -> None:
    count = SMALL[0]
    one = Compiled(decode_enter(settings(0, SMALL[1])).ir, {"entry": 4, "row": count})
    rng = np.random.default_rng(0)
    for seed, entries in enumerate((4, 0, 1)):
        rows = rng.permutation(count)[:4]
        given = dict(
            rows=rows,
            new_lengths=rng.integers(0, LONGEST, 4),
            new_limits=rng.integers(0, LONGEST, 4),
            new_tokens=rng.integers(0, WORDS, 4),
            lengths=rng.integers(0, LONGEST, count),
            limits=rng.integers(0, LONGEST, count),
            last_tokens=rng.integers(0, WORDS, count),
            entry=entries,
        )
        want = {name: given[name].copy() for name in ("lengths", "limits", "last_tokens")}
        for at, row in enumerate(rows[:entries]):
            for name, source in zip(want, ("new_lengths", "new_limits", "new_tokens"), strict=True):
                want[name][row] = given[source][at]
        filled = compare(one, given, seed)
        for name, values in want.items():
            assert np.array_equal(filled[name], values), name
