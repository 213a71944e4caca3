"""Every small plan compiles for both vendors: what the interpreter lets pass, a compiler may refuse."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from metaplan.assembly import DoesNotCompile, assembly
from metaplan.compiler import build
from metaplan.target import target
from tests.interp.schedules import CHANGES, forced
from tests.samples import SAMPLES

pytestmark = pytest.mark.compile

ARCHS = ("cuda:90", "hip:gfx942")


def refused(number: int) -> list[str]:
    """What each compiler objects to in sample ``number``; runs in a process of its own."""
    sample, said = SAMPLES[number], list[str]()
    for arch in ARCHS:
        try:
            assert assembly(build(sample.plan.ir, sample.sizes, target(arch)))
        except DoesNotCompile as error:
            said.append(str(error))
    return said


@pytest.fixture(scope="module")
def every() -> dict[str, list[str]]:
    numbers = range(len(SAMPLES))
    with ProcessPoolExecutor(os.cpu_count() or 1, get_context("spawn")) as pool:
        made = pool.map(refused, numbers)
        return {SAMPLES[n].name: said for n, said in zip(numbers, made, strict=True)}


@pytest.mark.parametrize("name", [s.name for s in SAMPLES])
def test_a_sample_compiles(every, name: str) -> None:
    assert not every[name]


@pytest.mark.parametrize("change", CHANGES)
def test_rows_of_one_length_compile_in_every_schedule(change: str) -> None:
    """A program of several rows goes as far as the longest, which is one number where all are as long."""
    sample = next(s for s in SAMPLES if s.name == "alike_lengths")
    assert assembly(forced(build(sample.plan.ir, sample.sizes, target("cuda:90")), CHANGES[change]))
