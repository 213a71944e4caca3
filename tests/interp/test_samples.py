"""The kernel of every small plan does what the plan means, whichever legal schedule it has."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Annotated

import foreign
import numpy as np
import pytest
from differential import Compiled, compare
from forced import under_each
from schedules import CHANGES, FEW

import metaplan as mp
from metaplan import boolean, i32, i64
from metaplan.ir import Held
from metaplan.program import Role
from metaplan.schedule import LIMITS
from metaplan.target import DEFAULT
from tests.running import garbage_buffers
from tests.samples import SAMPLES, Sample

pytestmark = pytest.mark.interp


BY_NAME = {sample.name: sample for sample in SAMPLES}


@cache
def as_scheduled(name: str) -> Compiled:
    return Compiled(BY_NAME[name].plan.ir, BY_NAME[name].sizes)


def check(sample: Sample, compiled: Compiled, seed: int, live: int) -> None:
    batch = sample.batch(np.random.default_rng([seed, live]), live)
    compare(compiled, batch, seed)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_kernel_and_meaning_agree(sample: Sample) -> None:
    req = sample.sizes["req"]
    for live in sorted({0, 1, req // 2, req}):
        for seed in range(3):
            check(sample, as_scheduled(sample.name), seed, live)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_large_capacity_with_few_live_requests(sample: Sample) -> None:
    sizes = {n: size * 20 if n == "req" else size for n, size in sample.sizes.items()}
    compiled = Compiled(sample.plan.ir, sizes)
    for live in (0, 3):
        check(sample, compiled, 5, live)


def exact(sample: Sample) -> dict[str, int]:
    """The sizes of ``sample`` with as many requests at every step."""
    return {n: mp.exactly(k) if n == "req" else k for n, k in sample.sizes.items()}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_as_many_requests_at_every_step(sample: Sample) -> None:
    asked = [r.name for k in sample.plan.ir.opaques for r in k.reads if r.kind is Held.LIVE]
    if "req" in asked:
        with pytest.raises(mp.PlanError, match=r"mp\.exactly\(n\)"):
            Compiled(sample.plan.ir, exact(sample))
        return

    def full(one: Compiled) -> None:
        assert "req_size_ptr" not in one.built.source
        check(sample, one, 2, sample.sizes["req"])

    always = Compiled(sample.plan.ir, exact(sample))
    full(always)
    under_each(always, full, ("few-programs", "two-rows"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_another_schedule_changes_no_result(sample: Sample) -> None:
    req = sample.sizes["req"]

    def some(one: Compiled) -> None:
        for seed, live in ((1, min(2, req)), (2, req)):
            check(sample, one, seed, live)

    under_each(as_scheduled(sample.name), some)


@pytest.mark.parametrize("processors", [1, 32])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_a_few_points_as_if_they_were_thousands(sample: Sample, processors: int) -> None:
    """Sums that a launch prepares, rows of several tiles, programs that loop over their rows."""
    target = replace(DEFAULT, processors=processors)
    compiled = Compiled(sample.plan.ir, sample.sizes, None, FEW, target)
    for seed, live in ((1, 1), (2, sample.sizes["req"])):
        check(sample, compiled, seed, live)


@mp.plan
def counted_in_part(x: Annotated[i32, "req", mp.below(61)]):
    req = mp.axis("req")
    col = mp.dense(req, 4)
    return dict(running=mp.cumsum(x - 8 + 0 * col.offset))


@pytest.mark.parametrize("vector", [1, 2, 8])
def test_a_row_of_which_some_points_lie_before_is_in_no_whole_block(vector: int) -> None:
    limits = replace(FEW, vector=vector, block_rows=4, block_points=16, short=4)
    target = replace(DEFAULT, processors=32)
    compiled = Compiled(counted_in_part.ir, {"req": 9}, None, limits, target)
    rng = np.random.default_rng(vector)
    for live in (1, 5, 9):
        compare(compiled, {"x": rng.integers(0, 61, live), "req": live}, live)


@mp.plan
def filled_before(
    n: Annotated[i32, "req", "col", mp.below(5)],
    m: Annotated[i32, "row", mp.below(5)],
    x: Annotated[i32, "req", mp.below(9)],
):
    req = mp.axis("req")
    col = mp.dense(req, 2)
    row = mp.pieces(col, head=n)
    tok = mp.ragged(row, m)
    place = mp.at(x + 0 * tok.offset, m)
    return dict(out=mp.put(req, place, x, where=place < 5, combine="add", init=7))


def test_cells_that_are_filled_before_ask_nothing_of_what_is_scattered_later() -> None:
    """The places of the values are summed up from what the launch that fills the cells keeps for later ones."""
    limits, target = replace(FEW, recompute=16), replace(DEFAULT, processors=8)
    compiled = Compiled(filled_before.ir, {"req": 5}, None, limits, target)
    assert len(compiled.built.stages.plans) == 3
    names = [k.name for k in compiled.built.program.kernels]
    assert "filled_before_1_sums" not in names
    assert "filled_before_2_sums" in names
    rng = np.random.default_rng(4)
    for live in (0, 2, 5):
        given = {"n": rng.integers(0, 5, (live, 2)), "m": rng.integers(0, 5, 40)}
        compare(compiled, {**given, "x": rng.integers(0, 9, live), "req": live}, live)


@pytest.mark.parametrize("change", [None, "few-programs", "two-rows", "one-by-one-sums"])
@pytest.mark.parametrize("name", ["buckets", "keys"])
def test_keys_that_are_counted_in_blocks(name: str, change: str | None) -> None:
    """The same counts and ranks as by comparing each two points, which is another way to launch them."""
    sample = next(s for s in SAMPLES if s.name == name)
    limits = replace(LIMITS, compared=0, counted=4)
    compiled = Compiled(sample.plan.ir, sample.sizes, CHANGES[change] if change else None, limits)
    compared = as_scheduled(name).built
    assert "tl.histogram" in compiled.built.source
    assert "tl.histogram" not in compared.source
    # interpreted, a histogram leaves out what lies beyond its bins; on a GPU nothing says so
    within = r"tl\.histogram\(far, 8, mask=\w+ & \(0 <= far\) & \(far < 6\)\)"
    assert name != "keys" or re.search(within, compiled.built.source)
    for seed, live in enumerate((0, 1, sample.sizes["req"] - 1, sample.sizes["req"])):
        check(sample, compiled, seed, live)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_sums_of_blocks_of_any_size(sample: Sample) -> None:
    """A launch before sums blocks of one row, or of some that divide nothing."""
    for at, (rows, points) in enumerate(((1, 1), (3, 8))):
        limits = replace(LIMITS, recompute=0, block_rows=rows, block_points=points)
        compiled = Compiled(sample.plan.ir, sample.sizes, None, limits)
        if any(chosen.partials for chosen in compiled.built.schedules):
            check(sample, compiled, 6, sample.sizes["req"] - at)


@pytest.mark.parametrize("name", ["sums", "compact", "selected"])
def test_sums_that_take_a_launch_of_their_own(name: str) -> None:
    sample = next(s for s in SAMPLES if s.name == name)
    compiled = Compiled(sample.plan.ir, {**sample.sizes, "req": 70000})
    assert len(compiled.built.program.kernels) > 1
    check(sample, compiled, 4, 50)


@mp.plan
def summed_by_two_launches(
    on: Annotated[boolean, "req"],
    x: Annotated[i64, "slot", mp.below(1 << 40)],
    partial_0: Annotated[i32, mp.below(9)],
):
    req = mp.axis("req")
    slot = mp.dense(None, 11)
    some = mp.compact(req, where=on)
    longest = mp.max(mp.indptr(x), over=slot)
    return dict(out=mp.on(some, longest + i64(partial_0)), partial_1=some.size + 0)


def test_two_launches_that_prepare_sums_have_buffers_of_their_own() -> None:
    """None of them takes the other's, nor one that the user has given that name."""
    limits = replace(LIMITS, recompute=1, block_rows=2, scan_tile=2)
    compiled = Compiled(summed_by_two_launches.ir, {"req": 9}, limits=limits)
    kernels = compiled.built.program.kernels
    assert sum(k.name.endswith("_sums") for k in kernels) == 2
    named = [p.of for k in kernels for p in k.params if p.role is Role.WORKSPACE]
    assert not {"partial_0", "partial_1"} & {*named}
    rng = np.random.default_rng(3)
    for live in (0, 4, 9):
        given = {"on": rng.random(9) < 0.6, "x": rng.integers(0, 1 << 40, 11), "partial_0": 5}
        compare(compiled, {**given, "req": live}, live)


def test_kernels_of_the_user_s_own_are_among_them() -> None:
    assert any(s.plan is foreign.foreign for s in SAMPLES)


@mp.plan
def chunks(n: Annotated[i32, "req", mp.between(0, 3000)], x: Annotated[i32, "req", mp.below(7)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    kept = mp.compact(tok, where=(tok.offset + x) % 7 == 0)
    return dict(
        kept=mp.tail(mp.on(kept, tok.index), -1),
        running=mp.cumsum(tok.offset % 3),
        total=mp.sum(tok.offset % 5, over=tok),
        longest=mp.max(tok.offset, over=tok),
        count=kept.size,
    )


def test_rows_longer_than_a_tile() -> None:
    compiled = Compiled(chunks.ir, {"req": 3, "tok": 6000})
    for seed, lengths in enumerate(([3000, 0, 2999], [1, 1025], [])):
        x = np.arange(len(lengths)) % 7
        compare(compiled, {"n": np.array(lengths), "x": x, "req": len(lengths)}, seed)


@mp.plan
def far(n: Annotated[i32, "req", mp.between(0, 3000)], key: Annotated[i32, "req", mp.below(7)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    bucket = mp.dense(None, 16)
    room = mp.dense(None, 6000)
    of = (tok.offset * 7 + key) % 16
    return dict(
        counted=mp.put(bucket, of, 1, combine="add", init=0),
        largest=mp.put(bucket, of, tok.index, combine="max", init=-1),
        last=mp.put(bucket, key, tok.offset, combine="last", init=-1),
        moved=mp.put(room, 5999 - tok.index, tok.offset, init=-1),
        once=mp.put(bucket, 3, mp.sum(tok.offset % 3, over=tok), combine="add", init=0),
    )


def test_scattered_rows_longer_than_a_tile() -> None:
    for change in (None, "narrow", "few-programs"):
        compiled = Compiled(far.ir, {"req": 3}, CHANGES[change] if change else None)
        for seed, lengths in enumerate(([3000, 0, 2999], [1, 1025], [])):
            key = np.arange(len(lengths)) * 5 % 7
            compare(compiled, {"n": np.array(lengths), "key": key, "req": len(lengths)}, seed)


@mp.plan
def strays(
    n: Annotated[i32, "req", mp.between(0, 3000)], x: Annotated[i32, "req", mp.between(-9, 9)]
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    short = mp.ragged(req, mp.minimum(n, 9))
    more = mp.fold(short, lambda c: dict(s=c.s + 1), s=mp.carry(0, 0, 4))
    within = mp.expect(tok.offset % 7 + x, 0, 5)
    return dict(within=mp.tail(within, -1), more=mp.tail(more.after.s, -1))


@pytest.mark.parametrize("change", [None, "narrow", "two-rows", "few-programs"])
def test_every_broken_promise_in_a_loop_is_counted(change: str | None) -> None:
    compiled = Compiled(strays.ir, {"req": 4}, CHANGES[change] if change else None)
    assert "count_all" in compiled.built.source
    n, x = np.array([3000, 0, 1025, 7], np.int32), np.array([0, 9, -2, 3], np.int32)
    offsets = [np.arange(k) % 7 + v for k, v in zip(n, x, strict=True)]
    beyond = sum(int(((o < 0) | (o > 5)).sum()) for o in offsets)
    late = sum(max(min(int(k), 9) - 4, 0) for k in n)
    buffers = garbage_buffers(compiled.plan, 1)
    flags = compiled.kernel({"n": n, "x": x}, {"req": 4}, buffers)
    assert sorted(flags) == sorted([beyond, late])
