"""Random plans under the interpreter: the kernel does what the plan means, whatever the plan."""

from __future__ import annotations

import pytest
from differential import Compiled, compare
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schedules import CHANGES

from metaplan.errors import PlanError
from metaplan.lang.plan import Plan
from tests.random_plans import REQ, SIZES, batch, plans

pytestmark = pytest.mark.interp


@settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(plans(depth=2), st.sampled_from([None, *CHANGES]), st.integers(0, 1000))
def test_kernel_and_meaning_agree(plan: Plan, change: str | None, seed: int) -> None:
    try:
        compiled = Compiled(plan.ir, SIZES, CHANGES[change] if change else None)
    except PlanError:
        assume(False)
    for live in (0, 2, REQ):
        compare(compiled, batch(seed, live), seed, exact=False)
