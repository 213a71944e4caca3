"""Rows longer than a tile, and many rows a program: sums and orders along them, folds, searches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import pytest
from differential import Compiled, compare

import metaplan as mp
from metaplan import i32, i64
from metaplan.compiler import build
from metaplan.program import Kernel
from metaplan.target import DEFAULT
from tests.samples import SAMPLES

pytestmark = pytest.mark.interp


def batch(lengths: Sequence[int], seed: int = 0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-(2**31), 2**31, len(lengths))
    return {"n": np.array(lengths, np.int32), "x": x, "req": len(lengths)}


def titles(kernels: Sequence[Kernel]) -> list[str]:
    return [region.title for kernel in kernels for region in kernel.regions]


@mp.plan
def long_rows(n: Annotated[i32, "req", mp.between(0, 2500)], x: Annotated[i32, "req"]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    odd = mp.compact(tok, where=(tok.offset + x % 8) % 3 == 1)
    return dict(
        running=mp.tail(mp.cumsum(i64(x) + i64(tok.offset), per=req), -1),
        ranks=mp.on(odd, mp.cumsum(tok.offset % 2, per=req)),
    )


@mp.plan
def wide_rows(n: Annotated[i32, "req", mp.between(0, 150)], x: Annotated[i32, "req"]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)

    def step(c):
        return dict(s=(c.s * 5 + tok.offset + x % 100) % 1000, most=mp.maximum(c.most, c.s))

    fold = mp.fold(tok, step, s=mp.carry(x % 7, 0, 999), most=mp.carry(0, 0, 999))
    return dict(
        running=mp.cumsum((x % 100) * tok.offset, per=req),
        before=fold.before.s * 1000 + fold.after.most,
        last=fold.last.most,
    )


@mp.plan
def long_sorts(n: Annotated[i32, "req", mp.between(0, 1000)], x: Annotated[i32, "req"]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    own = x // (tok.offset % 50 + 1)
    return dict(
        up=mp.sort(own, over=tok),
        down=mp.argsort(own, over=tok, descending=True),
        batch=mp.tail(mp.argsort(x, over=req), -1),
    )


def test_a_search_reads_only_between_its_ends() -> None:
    sample = next(s for s in SAMPLES if s.name == "bisected")
    lines = build(sample.plan.ir, sample.sizes, DEFAULT).source.splitlines()
    reads = [line for line in lines if "tl.load" in line and "_tried," in line]
    assert len(reads) == 3
    assert all("_open" in line for line in reads)


@pytest.mark.parametrize("lengths", [(2500, 0, 1023, 1024, 1025), (1,), ()])
def test_a_sum_goes_from_tile_to_tile(lengths: Sequence[int]) -> None:
    compiled = Compiled(long_rows.ir, {"req": 5, "tok": 6000})
    compare(compiled, batch(lengths))


@pytest.mark.parametrize("lengths", [(150, 0, 64, 65, 1, 150, 128, 3, 77), (0, 0, 5), ()])
def test_many_rows_in_one_program(lengths: Sequence[int]) -> None:
    compiled = Compiled(wide_rows.ir, {"req": 4000})
    told = " ".join(titles(compiled.built.program.kernels))
    assert "8 rows of req a program, tok in its lanes" in told
    assert "16 rows of req a program, tok point by point" in told
    compare(compiled, batch(lengths))


@pytest.mark.parametrize("lengths", [(1000, 0, 513, 512), (1,), ()])
def test_a_sorted_row_lies_in_one_tile(lengths: Sequence[int]) -> None:
    compiled = Compiled(long_sorts.ir, {"req": 300, "tok": 3000})
    compare(compiled, batch(lengths))


@mp.plan
def many_requests(n: Annotated[i32, "req", mp.between(1, 3000)]):
    req = mp.axis("req")
    chunk = mp.bisect(1, 3000, lambda c: mp.sum(mp.cdiv(n, c), over=req) <= 2500)
    parts = mp.fold(
        req,
        lambda c: dict(
            part=c.part + i32(c.used + n > 4000), used=mp.where(c.used + n > 4000, n, c.used + n)
        ),
        part=mp.carry(0, 0, 5000),
        used=mp.carry(0, 0, 4000),
    )
    return dict(chunk=chunk, part=mp.tail(parts.after.part, -1), used=parts.last.used)


def test_a_search_and_a_fold_over_more_requests_than_a_tile() -> None:
    compiled = Compiled(many_requests.ir, {"req": 5000})
    rng = np.random.default_rng(0)
    for live in (1500, 1, 0):
        n = rng.integers(1, 3001, live)
        out = compare(compiled, {"n": n, "req": live})
        chunk = int(out["chunk"][0])
        assert chunk == 1 or sum(-(-n // (chunk - 1))) > 2500
