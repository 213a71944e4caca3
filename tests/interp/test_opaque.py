"""Kernels of the user's own: their text in the generated file, the launch that runs them, what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import foreign
import numpy as np
import pytest
import triton
import triton.language as tl

import metaplan as mp
from metaplan import export, i32, text
from metaplan.codegen import environment
from metaplan.compiler import build
from metaplan.errors import PlanError
from metaplan.lang.jitted import RESERVED
from metaplan.passes.pipeline import stages
from metaplan.target import DEFAULT
from tests.running import filled, garbage_buffers, loops, wrong
from tests.samples import SAMPLES

pytestmark = pytest.mark.interp

OURS = next(s for s in SAMPLES if s.plan is foreign.foreign)


@triton.jit
def copied(program, n_ptr, out_ptr):
    tl.store(out_ptr + program, tl.load(n_ptr + program))


@triton.jit
def deepest(x):
    return x + 1


@triton.jit
def deeper(x):
    return deepest(x) + deepest(x)


@triton.jit
def calling(program, n_ptr, out_ptr):
    tl.store(out_ptr + program, deeper(deepest(tl.load(n_ptr + program))))


renamed = deepest


@triton.jit
def aliased(program, n_ptr, out_ptr):
    tl.store(out_ptr + program, renamed(tl.load(n_ptr + program)))


def meaning(n: Any, *, out: Any) -> None:
    out[:] = n


def planned(kernel: Any, programs: Any = 4) -> mp.Plan:
    @mp.plan
    def one(n: Annotated[i32, 4]):
        cell = mp.dense(None, 4)
        return mp.opaque(
            kernel,
            reads=(n,),
            writes=dict(out=mp.buffer(i32, cell)),
            meaning=meaning,
            programs=programs,
        )

    return one


def test_the_meaning_is_what_loops_say() -> None:
    (_, bound), *rest = stages(OURS.plan.ir, OURS.sizes)
    for seed in range(8):
        batch = OURS.batch(np.random.default_rng(seed), seed % 7)
        want = loops(OURS, bound, batch, seed)
        for _, after in ((None, bound), *rest):
            got = garbage_buffers(after, seed)
            filled(after, batch, got)
            assert not wrong(want, got)


def test_it_runs_behind_what_it_reads() -> None:
    program = build(OURS.plan.ir, OURS.sizes, DEFAULT).program
    assert [[r.name for r in k.regions if r.texts] for k in program.kernels] == [
        ["gather_rows"],
        ["reversed_cells"],
        ["reversed_cells"],
    ]


def test_the_text_is_the_user_s_own_and_stands_once() -> None:
    source = build(OURS.plan.ir, OURS.sizes, DEFAULT).source
    for function in ("mixed(", "gather_rows(program", "reversed_cells(program"):
        assert source.count(f"@triton.jit\ndef {function}") == 1
    assert "# rows are packed" in source
    assert source.index("def mixed(") < source.index("def gather_rows(")


def test_a_vendored_file_holds_it() -> None:
    made = export.self_contained(build(OURS.plan.ir, OURS.sizes, DEFAULT))
    assert "def gather_rows(program" in made
    assert "import metaplan" not in made


def test_what_is_called_comes_first() -> None:
    source = build(planned(calling).ir, {}, DEFAULT).source
    places = [source.index(f"def {name}(") for name in ("deepest", "deeper", "calling", "one")]
    assert places == sorted(places)


def test_another_name_for_a_function_is_told() -> None:
    with pytest.raises(PlanError, match="aliased uses renamed from around it"):
        planned(aliased)


def test_a_tuned_kernel_is_told() -> None:
    tuned = triton.autotune([triton.Config({})], key=[])(copied)
    with pytest.raises(PlanError, match="not an Autotuner"):
        planned(tuned)


def test_two_kernels_of_one_name_are_told() -> None:
    def another() -> Callable[..., Any]:
        @triton.jit
        def copied(program, n_ptr, out_ptr):
            tl.store(out_ptr + program, tl.load(n_ptr + program) + 1)

        return copied

    with pytest.raises(PlanError, match="kernel copied is declared twice"):

        @mp.plan
        def two(n: Annotated[i32, 4]):
            cell = mp.dense(None, 4)
            given: dict[str, Any] = dict(
                reads=(n,), writes=dict(out=mp.buffer(i32, cell)), meaning=meaning, programs=4
            )
            first, second = mp.opaque(copied, **given), mp.opaque(another(), **given)
            return dict(first=first["out"], second=second["out"])


def test_what_a_plan_is_hashed_by_holds_the_text() -> None:
    said = text.plan(planned(copied).ir)
    assert "kernel copied: 4 programs\n    reads n\n    writes out\n    | def copied(" in said
    assert said != text.plan(planned(copied, 2).ir)


def test_names_of_helpers_are_reserved() -> None:
    template = environment().get_template("helpers.py.jinja")
    assert template.filename is not None
    with Path(template.filename).open() as file:
        helpers = {line.split('"')[1] for line in file if "if name ==" in line}
    assert helpers <= RESERVED
