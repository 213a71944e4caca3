"""The host's free pages: none twice, none lost, and in order again when all are back."""

from __future__ import annotations

import numpy as np

from metaplan.loop.pages import Pool


def test_a_pool_that_is_whole_again_gives_neighbours() -> None:
    pool = Pool(12)
    held = [pool.take(count) for count in (3, 1, 4, 3)]
    assert pool.free == 0
    for at in (2, 0, 3, 1):
        pool.give(held[at], launched=0)
    assert pool.take(11).tolist() == list(range(1, 12))


def test_no_page_is_given_twice_or_lost() -> None:
    rng, pool, held = np.random.default_rng(1), Pool(40), []
    for _ in range(400):
        if held and rng.random() < 0.5:
            pool.give(held.pop(int(rng.integers(len(held)))), launched=0)
        else:
            held.append(pool.take(int(rng.integers(pool.free + 1))))
        out = [page for pages in held for page in pages.tolist()]
        assert len(set(out)) == len(out) == 39 - pool.free
        assert not out or 1 <= min(out) <= max(out) < 40
