"""``metaplan check``, ``show --stage ptx`` and ``doctor`` on a machine without a device."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from metaplan.cli import app

pytestmark = pytest.mark.compile

OWN = """\
from typing import Annotated

import metaplan as mp
from metaplan import i32


@mp.plan
def fences(count: Annotated[i32, "req", mp.between(0, 3)]):
    req = mp.axis("req")
    return dict(cuts=mp.ragged(req, count, most=3, name="tok").indptr)


print("imported")
"""


def test_check_counts_batches_and_targets(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    plan = f"{tmp_path}/own.py:fences"
    sizes = ("--size", "req=8", "--size", "tok=24")
    checked = CliRunner().invoke(app, ["check", plan, "--batches", "3", *sizes])
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.endswith("fences: 8 passed, 0 failed\n")


@pytest.mark.parametrize(
    ("target", "mark"), [("cuda:90", ".target sm_90"), ("hip:gfx942", "amdgcn")]
)
def test_show_prints_assembly(target: str, mark: str) -> None:
    shown = CliRunner().invoke(app, ["show", "post_update", "--stage", "ptx", "--target", target])
    assert shown.exit_code == 0, shown.output
    assert mark in shown.stdout


def test_doctor_finds_this_machine_fit() -> None:
    told = CliRunner().invoke(app, ["doctor"])
    assert told.exit_code == 0, told.output
    for topic in ("versions", "devices", "settings", "targets"):
        assert topic in told.stdout
    assert told.stdout.count("compiles") == 5
