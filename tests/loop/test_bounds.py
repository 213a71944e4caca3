# pyright: basic
"""The bounds of a host that is late, simulated in NumPy with random acceptance: they hold, and they are reached."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from metaplan.loop.bounds import Bounds
from metaplan.loop.host import Host
from metaplan.loop.request import Request

ROWS, STEPS, PAGE, LONGEST = 16, 400, 4, 1 << 20


def simulate(bounds, seed, believed=0):
    """Steps of a device that accepts at random and a host that reads ``lag`` steps late.

    Yields what the host knows at each launch beside the truth; ``believed`` is what a wrong host leaves out.
    """
    rng = np.random.default_rng(seed)
    host = Host(bounds, ROWS, PAGE)
    true = rng.integers(0, 50, ROWS)
    for row in range(ROWS):
        host.enter(Request(None, host.row(), PAGE, LONGEST), int(true[row]))
    # A row that accepts all, one that accepts nothing, one that changes its mind.
    habit = rng.random(ROWS)
    habit[:2] = (1, 0)
    flights: deque = deque()
    for _ in range(STEPS):
        yield true.copy(), host.upper - believed, host.wanted()
        flight = host.launch()
        accepted = 1 + (rng.random((ROWS, bounds.drafts)) < habit[:, None]).cumprod(1).sum(1)
        habit[2] = rng.random()
        true += accepted
        flights.append((flight, accepted.astype(np.int32)))
        if len(flights) > bounds.lag:
            host.read(*flights.popleft())


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("lag", range(5))
@pytest.mark.parametrize("drafts", range(8))
def test_the_bounds_hold_and_are_tight(drafts, lag, ahead):
    bounds = Bounds(drafts, lag, ahead)
    over, room = [], []
    for true, upper, wanted in simulate(bounds, 10 * drafts + lag):
        assert (upper >= true).all()
        over.append(int((upper - true).max()))
        room.append(int((upper + bounds.reach - true).max()))
        # What the device may write in this step has a page.
        assert (wanted * PAGE >= true + bounds.reach).all()
        assert (wanted <= -(-(true + bounds.room) // PAGE)).all()
    assert max(over) == bounds.slack
    assert max(room) == bounds.room


def test_the_simulation_sees_a_host_that_reserves_too_little():
    bounds = Bounds(3, 2)
    wrong = [bool((upper < true).any()) for true, upper, _ in simulate(bounds, 1, believed=1)]
    assert any(wrong)


def test_the_formulas():
    assert (Bounds(3, 2).slack, Bounds(3, 2).room, Bounds(0, 4).room) == (6, 10, 1)
