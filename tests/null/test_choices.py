# pyright: basic
"""How many rows a program takes, where that was measured to matter (docs/design.md, docs/performance.md)."""

from __future__ import annotations

import re
from typing import Annotated

import pytest

import metaplan as mp
from metaplan import i32

ROWS, COLUMNS = 1024, 200


def several(parts):
    """As many tables as parts, each along an axis of its own."""

    @mp.plan
    def several(
        table: Annotated[i32, "req", COLUMNS, mp.below(100)],
    ):
        req = mp.axis("req")
        columns = [mp.dense(req, COLUMNS - n, name=f"col_{n}") for n in range(parts)]
        return {f"out_{n}": table[req, c.offset] + n for n, c in enumerate(columns)}

    return several.compile(req=ROWS, device="cpu", target="cuda:90")


def chunks(most):
    """Tokens of requests, up to 8192 of one; ``most`` of all together."""

    @mp.plan
    def chunks(scheduled: Annotated[i32, "req", mp.between(0, 8192)]):
        req = mp.axis("req")
        tok = mp.ragged(req, scheduled)
        return dict(positions=tok.offset + scheduled[req])

    return chunks.compile(req=ROWS, tok=most, device="cpu", target="cuda:90")


def taken(step, work):
    """Rows and lanes of a program of one kind."""
    found = re.search(rf"^  {work}: .*; (\d+) a program, (\d+) lanes", step.explain(), re.MULTILINE)
    assert found is not None, step.explain()
    return tuple(map(int, found.groups()))


@pytest.mark.parametrize(("parts", "rows"), [(1, 1), (2, 1), (3, 4), (4, 4)])
def test_parts_that_share_a_launch_leave_each_other_room(parts, rows):
    step = several(parts)
    assert [taken(step, f"col_{n}")[0] for n in range(parts)] == [rows] * parts


@pytest.mark.parametrize(
    ("most", "asked"), [(8192, (4, 64)), (64 * ROWS, (4, 64)), (1 << 20, (1, 1024))]
)
def test_rows_that_may_be_long_and_are_nearly_all_short_share_a_program(most, asked):
    assert taken(chunks(most), "tok") == asked
