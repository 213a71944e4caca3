"""The evidence on real traces: a sample compares what it says, and a planted mistake is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bench import sample
from metaplan.replay import PageGroup, Settings, Trace
from metaplan.replay.compiled import Compiled
from metaplan.replay.run import PLANS

pytestmark = pytest.mark.interp

SMALL = Settings(
    max_requests=4,
    max_tokens=64,
    max_model_len=256,
    drafts=2,
    groups=(PageGroup(16), PageGroup(32, reach=64)),
    pool_tokens=4096,
    window=16,
    index_topk=8,
    block=128,
    layer_ratios=(0, 4, 128),
)
TRACE = Trace(
    "five requests",
    np.array([0.0, 0.0, 0.2, 0.4, 0.5]),
    np.array([90, 7, 130, 40, 1], np.int32),
    np.array([30, 9, 12, 20, 16], np.int32),
)


def run() -> dict[str, Any]:
    one = sample.Sample(SMALL)
    for frame, tables in sample.sampled(TRACE, SMALL, 12, 6):
        one.check(frame, tables)
    return sample.report(TRACE.name, 12, one)


def test_meaning_and_kernel_are_what_the_loops_say() -> None:
    told = run()
    assert told["mismatches"] == 0, told
    assert (told["frames"], told["broken_promises"]) == (2, 0)
    assert set(told["plans"]) == set(PLANS)
    assert all(one["cells"] for sides in told["plans"].values() for one in sides.values()), told


def test_one_wrong_cell_of_a_tail_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = sample.SIDES["kernel"]

    def wrong(
        one: Compiled, inputs: Mapping[str, Any], states: sample.Arrays, buffers: sample.Arrays
    ) -> int:
        counted = kernel(one, inputs, states, buffers)
        if "slot_mapping" in buffers:
            buffers["slot_mapping"][-1] += 1
        return counted

    monkeypatch.setitem(sample.SIDES, "kernel", wrong)
    told = run()
    paged = told["plans"]["paged_decode"]
    assert told["mismatches"] == paged["kernel"]["mismatches"] == paged["kernel"]["frames"] > 0
    assert "slot_mapping" in paged["kernel"]["first_mismatches"][0]
