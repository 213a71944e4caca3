# pyright: basic
"""docs/coverage.md says what was measured, and no shipped plan is missing; lines of code are counted from sources."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from bench import code_lines, coverage
from bench.peers_of import PeerResults

pytestmark = pytest.mark.null
MACHINE = {"command": "python -m bench.x", "date": "2026-01-01", "processor": "x86_64"}
MACHINE |= {"versions": {"numpy": "2"}, "device": None}
ROW = {
    "plan": "engine_lists",
    "engine": "vllm",
    "there": {"v1/a.py:Builder.build": 40, "v1/a.py:_kernel": 20, "v1/b.py:cdiv": 2},
    "here": {"engine_lists.py:engine_lists": 15},
    "launches": 1,
    "theirs": {"launches": 7, "copies": 3, "waits": 1},
    "batches": 13,
    "equal": 13,
}
NONE = PeerResults({}, ())


def measured(**rows):
    return {"machine": MACHINE, "peers": rows}


def lines(text: str) -> str:
    """Without the breaks that a width of the page makes."""
    return " ".join(text.split())


# --------------------------------------------------------------------- the page


def test_a_row_says_what_is_replaced():
    page = coverage.page(measured(lists=ROW), NONE, ["engine_lists", "decode_slots"])
    assert (
        "| `engine_lists` | lists<br>`v1/a.py`: `Builder.build`, `_kernel`<br>`v1/b.py`: `cdiv`"
        " | 7 -> 1 | 3 -> 0 | 1 -> 0 | 62 -> 15 | 13 of 13 |" in page
    )
    assert "1 plans beside 3 functions of 2 files, in 1 rows: launches 7 -> 1" in lines(page)
    assert "| `decode_slots` | the README's example |" in page
    assert "counted on the CPU." in lines(page)
    assert "$ python -m bench.x    # x86_64, no GPU; numpy 2; 2026-01-01" in page


def test_what_a_gpu_counted_comes_first():
    side = {"host_to_device": 2, "device_to_host": 1, "synchronizations": 4}
    sides = {"theirs": {"launches": 9, **side}, "ours": dict.fromkeys(side, 0) | {"launches": 2}}
    cells = {
        ("lists", batch, 4): {"batch": batch, "query": 4, "checked": True, **sides}
        for batch in (16, 256)
    }
    cells["lists", 16, 4]["theirs"] = {"launches": 5, **side}
    times = PeerResults(cells, ({**MACHINE, "device": {"name": "a GPU"}},))
    page = coverage.page(measured(lists=ROW, other=ROW), times, ["engine_lists"])
    assert "| 9 -> 2 | 3 -> 0 | 4 -> 0 | 62 -> 15 |" in page
    assert "| 7 -> 1* | 3 -> 0* | 1 -> 0* | 62 -> 15 |" in page
    assert "counted on a GPU where there is no *, else on the CPU." in lines(page)
    assert "# a GPU; numpy 2" in page


def test_a_row_without_counts_has_none():
    alone = {**ROW, "theirs": None, "batches": 0, "equal": 0}
    page = coverage.page(measured(lists=alone), NONE, [])
    assert "| ? -> 1 | ? -> 0 | ? -> 0 | 62 -> 15 | on a GPU only |" in page


def test_without_results_the_page_says_so():
    assert "Nothing was measured." in coverage.page({}, NONE, ["decode_slots"])


def test_what_is_missing_is_told():
    known = ["engine_lists", "decode_slots"]
    assert coverage.problems({"lists": ROW}, known) == []
    assert coverage.problems({}, known) == [
        "engine_lists has no row: add a peer to tests/peers/families and measure it, or say in WITHOUT_PEER why not"
    ]
    assert coverage.problems({"lists": ROW}, ["decode_slots"]) == [
        "lists: engine_lists is not a shipped plan"
    ]
    wrong = {**ROW, "equal": 12, "there": {"v1/a.py:gone": None}}
    assert coverage.problems({"lists": wrong}, known) == [
        "lists: equal on 12 of 13 batches",
        "lists: there is no v1/a.py:gone",
    ]


# ---------------------------------------------------------------- lines of code

BUILDER = '''
"""A module."""
import helper  # 1


class Builder:
    """A class."""

    # a comment
    @helper.timed
    def build(self, x):
        """Builds.

        Slowly.
        """

        y = helper.of(
            x,  # the first
        )
        return f"""
{y}
"""

    def other(self): return 2


if helper:

    def late():
        pass
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "builder.py").write_text(BUILDER)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("builder.py:Builder.build", 8),
        ("builder.py:Builder", 10),
        ("builder.py:Builder.other", 1),
        ("builder.py:late", 2),
        ("builder.py", 14),
        ("builder.py:Builder.gone", None),
        ("gone.py:late", None),
    ],
)
def test_code_is_counted_and_nothing_else(folder: Path, place: str, count: int | None):
    assert code_lines.of_function(folder, place) == count


def test_a_plan_counts_with_all_that_it_calls(tmp_path: Path):
    (tmp_path / "shared.py").write_text("def unused():\n    pass\n\ndef pages(n):\n    return n\n")
    plan = tmp_path / "lists.py"
    plan.write_text(
        textwrap.dedent('''
        from metaplan.plans.shared import pages, unused

        class Group:
            size = 1

        def length(n):
            return pages(n) + 1

        def lists(group=Group()):
            """A plan."""

            @plan
            def lists(x):
                return length(x)

            return lists

        def shipped():
            return lists()
        ''')
    )
    assert code_lines.of_plan(plan, 14) == {
        "lists.py:lists": 5,
        "lists.py:Group": 2,
        "lists.py:length": 2,
        "shared.py:pages": 2,
    }
