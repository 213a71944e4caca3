"""``metaplan check`` passes what is right and names the cell where a kernel is wrong."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest

import metaplan as mp
from metaplan import compiler, i32
from metaplan.checking.batches import batch, small
from metaplan.checking.kernels import differences
from metaplan.target import DEFAULT

pytestmark = pytest.mark.interp


@mp.plan
def cuts(
    drafts: Annotated[i32, "req", mp.between(0, 3)],
    row: Annotated[i32, "req", mp.between(-1, 99), mp.DISTINCT],
    total: Annotated[i32, "state", mp.between(0, 1000), mp.STATE],
):
    req = mp.axis("req")
    tok = mp.ragged(req, drafts, most=3)
    return dict(
        fences=tok.indptr,
        places=mp.tail(tok.offset, -1),
        totals=mp.update(total[row], total[row] + drafts, where=row >= 0),
    )


def built() -> compiler.Built:
    return compiler.build(cuts.ir, {"req": 6, "tok": 18, "state": 9}, DEFAULT)


def wrong(made: compiler.Built, batches: int = 12) -> list[str]:
    found: list[str] = []
    for seed in range(batches):
        found += differences(made, batch(made.bound, np.random.default_rng(seed)), seed)
    return found


def test_what_is_right_passes() -> None:
    assert wrong(built()) == []


@pytest.mark.parametrize(
    ("before", "after", "buffer"),
    [("total + drafts", "total - drafts", "total"), ("-1, mask", "-2, mask", "places")],
)
def test_a_planted_fault_is_found(before: str, after: str, buffer: str) -> None:
    made = built()
    assert before in made.source
    vars(made)["source"] = made.source.replace(before, after)
    found = wrong(made)
    assert found
    assert all("the plan means" in words for words in found)
    assert all(words.startswith(buffer) for words in found)


def test_each_row_of_a_state_has_one_writer() -> None:
    plan = built().bound
    for seed in range(20):
        rows = batch(plan, np.random.default_rng(seed)).inputs["row"]
        real = rows[rows >= 0]
        assert len(set(real.tolist())) == len(real)
        assert real.max(initial=0) < 9


def test_small_capacities_keep_the_names() -> None:
    assert small({"req": 1024, "tok": 8192, "row": 9}, ("req",)) == {"req": 6, "tok": 48, "row": 9}
