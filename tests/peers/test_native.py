# pyright: basic
"""Loops beside the engines' own C++, where it can be compiled: either may stand in for the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.oracles import schedules as loops
from tests.peers import native, native_calls

pytestmark = pytest.mark.peers
SEED = 7


@pytest.fixture
def library(request):
    if native.on_host(request.param) is None:
        pytest.skip("no compiler or no sources: the loops stand alone")


def lengths(rng: np.random.Generator, most: int) -> list[int]:
    return rng.integers(0, rng.choice([3, 65, 200, 4097]), rng.integers(1, most + 1)).tolist()


def ints(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int32)


@pytest.mark.parametrize("library", ["flash_mla"], indirect=True)
def test_flash_mla(library):
    rng = np.random.default_rng(SEED)
    for _ in range(12):
        keys, parts = lengths(rng, 40), int(rng.integers(1, 20))
        schedule, splits = ints(parts, 8), ints(len(keys) + 1)
        given = torch.tensor(keys, dtype=torch.int32)
        native_calls.flashmla_sched_meta(schedule, splits, None, None, given, 64, 5, -1, 0)
        assert (schedule.tolist(), splits.tolist()) == loops.flash_mla(keys, parts, 64, 5)


@pytest.mark.parametrize("library", ["paged_mqa"], indirect=True)
@pytest.mark.parametrize("most", [64, 200], ids=["one warp", "a block"])
def test_paged_mqa(library, most):
    rng = np.random.default_rng(SEED)
    for _ in range(8):
        keys, processors = lengths(rng, most), int(rng.integers(1, 300))
        schedule = ints(processors + 1, 2)
        given = torch.tensor(keys, dtype=torch.int32)
        native_calls.paged_mqa(given, schedule, ints(0))
        assert schedule.tolist() == loops.paged_mqa(keys, processors, 256, False)


@pytest.mark.parametrize("library", ["flashinfer_plan"], indirect=True)
def test_flashinfer_plan(library):
    rng, room = np.random.default_rng(SEED), torch.zeros(1 << 18, dtype=torch.uint8)
    for at in range(100):
        heads, page = int(rng.choice([1, 2, 8])), int(rng.choice([1, 16, 64]))
        pages = [n + 1 for n in lengths(rng, 40)]
        indptr = torch.tensor([0, *np.cumsum(pages)], dtype=torch.int32)
        processors, graphs = int(rng.integers(4, 40)), at % 2 == 0
        made = native_calls.decode_plan(indptr, heads, page, graphs, processors, 2, room)
        want = native_calls.decode_loops(indptr, heads, page, graphs, processors * 2)
        for name, cells in want.items():
            assert made[name].tolist() == cells.tolist(), name


@pytest.mark.parametrize("library", ["flashinfer_plan"], indirect=True)
@pytest.mark.parametrize("window", [-1, 40])
def test_flashinfer_prefill_plan(library, window):
    rng, room = np.random.default_rng(SEED), torch.zeros(1 << 18, dtype=torch.uint8)
    for _ in range(60):
        heads, page, group = (int(rng.choice(some)) for some in ((1, 2, 8), (1, 16, 64), (1, 4)))
        pages, most = lengths(rng, 20), int(rng.choice([1, 4, 70]))
        queries = rng.integers(0, most + 1, len(pages))
        rows = max(int(queries.sum()), len(pages)) + int(rng.integers(0, 9))
        qo_indptr, kv_indptr = (
            torch.tensor([0, *np.cumsum(x)], dtype=torch.int32) for x in (queries, pages)
        )
        processors = int(rng.integers(20, 40)) * heads
        given = qo_indptr, kv_indptr, rows
        made = native_calls.prefill_plan(*given, heads, group, page, window, processors, room)
        fit = 2 * processors // heads
        want = native_calls.prefill_loops(*given, fit, group, page, window)
        for name, cells in want.items():
            assert made[name].tolist() == cells.tolist(), name
