# pyright: basic
"""Drawn plans: declared, compiled and run under the interpreter, each on two batches beside its meaning."""

from __future__ import annotations

import pytest

from tests.fuzz.outcomes import FAILED
from tests.fuzz.plans import case
from tests.fuzz.trying import tried

pytestmark = pytest.mark.interp


@pytest.mark.parametrize("first", range(0, 24, 6))
def test_drawn_plans_mean_what_they_compute(first: int) -> None:
    outcomes = [tried(case(seed), "cpu", 2) for seed in range(first, first + 6)]
    failed = [f"{o.what}: {o.text}\n{o.source}" for o in outcomes if o.state == FAILED]
    assert not failed, failed[0]
    assert any(o.cells for o in outcomes)
