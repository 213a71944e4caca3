"""Every shipped plan: the kernel, the plan's meaning and both oracles fill the same cells."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from cases import LARGE, SMALL, Batch, Case, Oracle
from differential import Compiled, compare, split
from forced import under_each

from tests.oracles import Expected
from tests.oracles import compare as differences
from tests.running import garbage_buffers

pytestmark = pytest.mark.interp

BY_NAME = {case.name: case for case in (*SMALL, *LARGE)}


@cache
def compiled(name: str) -> Compiled:
    return Compiled(BY_NAME[name].plan, BY_NAME[name].sizes)


def against(oracle: Oracle, compiled: Compiled, batch: Batch, filled: dict, seed: int) -> None:
    """Asserts that ``filled`` is what the oracle says of the outputs and states that it knows."""
    given, _ = split(compiled, batch)
    start = garbage_buffers(compiled.plan, seed) | {n: given[n] for n in compiled.states}
    said = oracle(batch, start)
    names = said.values.keys() & filled.keys()
    assert names, "the oracle and the plan have no output in common"
    filled = {n: _shaped(filled[n], said.values[n]) for n in names}
    kept = Expected({n: said.values[n] for n in names}, {n: said.specified[n] for n in names})
    assert [str(m) for m in differences(kept, filled)] == []


def _shaped(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """A rectangle of cells as the flat list that an oracle writes."""
    return got.reshape(-1) if want.ndim == 1 and got.ndim == 2 else got


def check(case: Case, one: Compiled, seed: int, live: int) -> None:
    batch = case.batch(seed, live)
    filled = compare(one, batch, seed)
    against(case.vec, one, batch, filled, seed)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_kernel_meaning_and_oracle_agree(case: Case) -> None:
    for seed, live in enumerate((0, 1, case.req // 2, case.req - 1, case.req, case.req)):
        check(case, compiled(case.name), seed, live)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_the_loop_oracle_agrees_with_the_meaning(case: Case) -> None:
    """In NumPy only: the loops are slow, and the kernel was compared with the meaning above."""
    one = compiled(case.name)
    for seed, live in ((7, case.req), (8, case.req // 2), (9, 1)):
        batch = case.batch(seed, live)
        given, sizes = split(one, batch)
        filled = garbage_buffers(one.plan, seed)
        one.meaning(given, sizes, filled)
        changed = {n: given[n] for n in one.states}
        against(case.loop, one, batch, filled | changed, seed)


@pytest.mark.parametrize("case", LARGE, ids=lambda case: case.name)
def test_large_capacities_with_few_live_requests(case: Case) -> None:
    lives = (0, 5) if case.req > 64 else (0, 7, min(case.req, 12))
    for live in lives:
        check(case, compiled(case.name), live, live)


FORCED = ("paged-4-9-6", "engine-4r0-8r6-k2-cp1-6", "post-k3-6",
          "v4-k3-0.4.128.4-ragged-topk-causal-4", "v4-k1-4.128-ragged-rectangle-4")  # fmt: skip


@pytest.mark.parametrize("name", FORCED)
def test_another_schedule_changes_no_result(name: str) -> None:
    case = BY_NAME[name]

    def some(one: Compiled) -> None:
        for seed, live in ((2, case.req), (3, case.req - 1)):
            check(case, one, seed, live)

    under_each(compiled(name), some)
