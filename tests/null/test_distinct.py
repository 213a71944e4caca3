"""Numbers that a plan declares to be distinct are looked at where they pass through the host."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest

import metaplan as mp
from metaplan import i32, i64, u16
from metaplan.errors import CallError
from metaplan.passes.bind import bind
from metaplan.runtime.inputs import Slot, check_distinct, slots

pytestmark = pytest.mark.null


@mp.plan
def placed(
    slot: Annotated[i32, "req", mp.HOST, mp.DISTINCT],
    cell: Annotated[i64, "req", 2, mp.HOST, mp.DISTINCT],
    narrow: Annotated[u16, "cell", mp.HOST, mp.DISTINCT],
):
    req = mp.axis("req")
    tok = mp.ragged(req, slot * 0 + 1)
    return dict(out=slot + i32(mp.wrapped(cell[req, 0])) * 0 + mp.i32(narrow[tok.indptr]) * 0)


@pytest.fixture(scope="module")
def given() -> dict[str, Slot]:
    plan = bind(placed.ir, {"req": 8, "cell": 8})
    return slots(plan, plan)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("slot", [4, 0, 3]),
        ("slot", [-1, 2, -1, -7, -7]),
        ("slot", []),
        ("slot", [-1, -1]),
        ("cell", [[1, 2], [3, -1], [-1, 0]]),
        ("narrow", [0, 65535, 1]),
    ],
)
def test_what_is_distinct_is_taken(given: dict[str, Slot], name: str, array: list[int]) -> None:
    check_distinct(given[name], np.array(array, given[name].dtype), None)


@pytest.mark.parametrize(
    ("name", "array", "twice"),
    [
        ("slot", [4, 0, 3, 0], 0),
        ("slot", [-1, 7, -1, 7], 7),
        ("cell", [[1, 2], [3, 1]], 1),
        ("cell", [[1 << 40, -5], [-5, 1 << 40]], 1 << 40),
        ("narrow", [65535, 2, 65535], 65535),
    ],
)
def test_what_is_not_is_told(
    given: dict[str, Slot], name: str, array: list[int], twice: int
) -> None:
    with pytest.raises(CallError, match=f"{name} holds {twice} twice"):
        check_distinct(given[name], np.array(array, given[name].dtype), None)


def test_rows_that_are_not_live_say_nothing(given: dict[str, Slot]) -> None:
    array = np.array([4, 0, 0, 0, 4], np.int32)
    check_distinct(given["slot"], array, 2)
    with pytest.raises(CallError, match="slot holds 0 twice"):
        check_distinct(given["slot"], array, 3)
