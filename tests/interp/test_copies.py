"""Copies written out and copies that share their lines: the same buffers."""

from __future__ import annotations

import numpy as np
import pytest
from differential import Compiled, compare
from schedules import CHANGES

from metaplan import ir, unrolling
from tests.samples import SAMPLES, Sample

pytestmark = pytest.mark.interp
COPIED = [s for s in SAMPLES if s.plan.ir.copies]


def force(monkeypatch: pytest.MonkeyPatch, chosen: bool) -> None:
    """All copies written out, or only those that must be."""

    def asked(plan: ir.Plan, limits: object) -> dict[ir.Which, str]:
        return dict.fromkeys(plan.copies if chosen or plan.updates else (), "asked")

    monkeypatch.setattr(unrolling, "unrolled", asked)


@pytest.mark.parametrize("chosen", [False, True], ids=["shared", "written-out"])
@pytest.mark.parametrize("sample", COPIED, ids=lambda s: s.name)
def test_either_form_does_what_the_plan_means(
    sample: Sample, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, chosen)
    for factor, change in ((1, None), (20, None), *((1, c) for c in ("two-rows", "few-programs"))):
        sizes = {n: k * factor if n == "req" else k for n, k in sample.sizes.items()}
        compiled = Compiled(sample.plan.ir, sizes, CHANGES[change] if change else None)
        for live in (0, 1, sample.sizes["req"]):
            batch = sample.batch(np.random.default_rng([live, factor]), live)
            compare(compiled, batch, live)
