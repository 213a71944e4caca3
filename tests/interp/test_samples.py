"""The kernel of every small plan does what the plan means, whichever legal schedule it has."""

from __future__ import annotations

import numpy as np
import pytest
from differential import Compiled, compare
from schedules import CHANGES

from tests.samples import SAMPLES, Sample

pytestmark = pytest.mark.interp


def check(sample: Sample, compiled: Compiled, seed: int, live: int) -> None:
    batch = sample.batch(np.random.default_rng([seed, live]), live)
    compare(compiled, batch, seed)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_kernel_and_meaning_agree(sample: Sample) -> None:
    compiled = Compiled(sample.plan.ir, sample.sizes)
    req = sample.sizes["req"]
    for live in sorted({0, 1, req // 2, req}):
        for seed in range(3):
            check(sample, compiled, seed, live)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_large_capacity_with_few_live_requests(sample: Sample) -> None:
    sizes = {n: size * 20 if n == "req" else size for n, size in sample.sizes.items()}
    compiled = Compiled(sample.plan.ir, sizes)
    for live in (0, 3):
        check(sample, compiled, 5, live)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_another_schedule_changes_no_result(sample: Sample, change: str) -> None:
    compiled = Compiled(sample.plan.ir, sample.sizes, CHANGES[change])
    for seed, live in ((1, 2), (2, sample.sizes["req"])):
        check(sample, compiled, seed, live)
