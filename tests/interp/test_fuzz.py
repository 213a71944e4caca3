# pyright: basic
"""Drawn plans: declared, compiled and run under the interpreter, each on two batches beside its meaning."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
from differential import Compiled

import metaplan as mp
from metaplan import boolean, i32
from tests.fuzz.outcomes import FAILED
from tests.fuzz.plans import case
from tests.fuzz.trying import tried
from tests.running import garbage_buffers

pytestmark = pytest.mark.interp


@pytest.mark.parametrize("first", range(0, 24, 6))
def test_drawn_plans_mean_what_they_compute(first: int) -> None:
    outcomes = [tried(case(seed), "cpu", 2) for seed in range(first, first + 6)]
    failed = [f"{o.what}: {o.text}\n{o.source}" for o in outcomes if o.state == FAILED]
    assert not failed, failed[0]
    assert any(o.cells for o in outcomes)


@mp.plan
def asked_beyond(on: Annotated[boolean, "req"], x: Annotated[i32, "some", mp.below(9)]):
    req = mp.axis("req")
    some = mp.compact(req, where=on)
    return dict(found=mp.locate(x, 0), there=mp.at(mp.cumsum(x + 0 * some.index), 0))


@mp.plan
def stored_below(n: Annotated[i32, "req", mp.below(4)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    one = mp.ragged(tok, 1)
    return dict(places=one.index)


def test_points_below_those_beyond_a_capacity_are_counted() -> None:
    made = Compiled(stored_below.ir, {"req": 2, "tok": 4})
    for n, beyond in ((2, 0), (3, 2)):
        given = {"n": np.full(2, n, np.int32)}
        want, got = garbage_buffers(made.plan, 1), garbage_buffers(made.plan, 1)
        assert sum(made.meaning(given, {"req": 2}, want).values()) == beyond
        assert sum(made.kernel(given, {"req": 2}, got)) == beyond


def test_points_that_nobody_can_ask_are_counted() -> None:
    """Nothing is stored of them: that they are more than their axis was compiled for shows in what asks them."""
    made = Compiled(asked_beyond.ir, {"req": 6, "some": 4})
    for live, beyond in ((4, 0), (6, 2)):
        given = {"on": np.ones(6, bool), "x": np.arange(4, dtype=np.int32)}
        want, got = garbage_buffers(made.plan, 1), garbage_buffers(made.plan, 1)
        broken = made.meaning(given, {"req": live}, want)
        flags = made.kernel(given, {"req": live}, got)
        said = [count for line, count in broken.items() if "more points than the capacity" in line]
        assert sum(said) == beyond
        assert sum(flags) >= beyond
        assert bool(sum(flags)) == bool(beyond)
