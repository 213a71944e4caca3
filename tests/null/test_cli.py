"""The command line: what it prints, how it refuses, and that it leaves nothing half done."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from metaplan import assets
from metaplan.cli import app
from metaplan.machine import command
from metaplan.plans import shipped

FIRST = ("decode_slots", "paged_decode", "engine_step", "post_update", "v4_decode")
"""The plans that the replay and the demo run, and the README's."""
OWN = """\
from typing import Annotated

import metaplan as mp
from metaplan import i32


@mp.plan
def fences(count: Annotated[i32, "req", mp.between(0, 3)]):
    req = mp.axis("req")
    return dict(cuts=mp.ragged(req, count, most=3, name="tok").indptr)


number = 3
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def own(tmp_path: Path) -> str:
    place = tmp_path / "own.py"
    place.write_text(OWN)
    return str(place)


def test_help_lists_every_command() -> None:
    shown = run("--help").output
    for name in (
        "demo",
        "list",
        "show",
        "explain",
        "codegen",
        "check",
        "replay",
        "audit",
        "doctor",
    ):
        assert f" {name} " in shown


def test_help_is_quick_because_it_imports_neither_torch_nor_triton() -> None:
    program = (
        "import sys, metaplan.cli; print({'torch', 'triton', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_list_has_every_shipped_plan_with_its_capacities() -> None:
    lines = run("list").stdout.splitlines()
    told = [line.split()[0] for line in lines if line[:3].startswith("  ") and line[2] != " "]
    assert told == list(shipped())
    assert told[: len(FIRST)] == list(FIRST)
    (after,) = [below for line, below in pairwise(lines) if line.startswith("  paged_decode ")]
    assert after.split() == ["req=1024", "tok=8192", "row=1024"]


def test_every_shipped_plan_says_what_it_fills() -> None:
    for one in shipped().values():
        assert one.family.endswith("."), one.name
        assert one.about.endswith(".") or one.name == "decode_slots", one.name


def test_list_finds_plans_by_words() -> None:
    told = run("list", "EAGLE", "vllm").stdout
    assert "  vllm_eagle_step " in told
    assert "sglang" not in told


@pytest.mark.parametrize("stage", ["plan", "program", "kernel"])
def test_show_prints_every_stage(stage: str) -> None:
    for name in ("decode_slots", "post_update"):
        told = run("show", name, "--stage", stage)
        assert told.exit_code == 0, told.output
        assert name in told.stdout


def test_every_shipped_plan_has_a_text() -> None:
    for name, one in shipped().items():
        assert one.plan.text().startswith("plan "), name


@pytest.mark.parametrize("name", FIRST)
def test_explain_counts_one_launch(name: str) -> None:
    shown = run("explain", name, "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["launches"] == 1
    assert "1 launch" in run("explain", name).stdout


def test_a_plan_of_a_users_file(own: str) -> None:
    shown = run("explain", f"{own}:fences", "--size", "req=8", "--size", "tok=24", "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["capacities"]["req"] == 8


def test_a_plan_of_a_module(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(own).parent))
    assert run("show", "own:fences", "--stage", "plan").exit_code == 0


def test_codegen_writes_a_whole_file_or_prints_it(tmp_path: Path) -> None:
    place = tmp_path / "kernel.py"
    written = run("codegen", "post_update", "-o", str(place))
    assert written.exit_code == 0, written.output
    assert "import metaplan" not in place.read_text()
    compile(place.read_text(), str(place), "exec")
    assert run("codegen", "post_update").stdout == place.read_text()
    assert list(tmp_path.iterdir()) == [place]


def test_every_shipped_plan_has_a_committed_kernel() -> None:
    folder = assets.folder("kernels")
    assert {path.stem for path in folder.glob("[!_]*.py")} == set(shipped())


@pytest.mark.parametrize("name", FIRST)
def test_committed_kernels_are_what_their_plans_render_to(name: str) -> None:
    """These here, all of them in make lint."""
    checked = run("codegen", name, "--check")
    assert checked.exit_code == 0, checked.output


REFUSALS = {
    ("show", "nothing"): (
        "no plan is called nothing\n"
        f"  hint: metaplan list has the {len(shipped())} shipped plans, "
        "and one of your own is path/file.py:name or module:name\n"
    ),
    ("explain", "v4_decoder"): (
        "no plan is called v4_decoder\n"
        f"  hint: perhaps v4_decode; metaplan list has the {len(shipped())} shipped plans, "
        "and one of your own is path/file.py:name or module:name\n"
    ),
    ("list", "fa3", "rocket"): (
        "no shipped plan mentions fa3 and rocket\n"
        "  hint: metaplan list without words lists them all\n"
    ),
    ("show", "no/such.py:plan"): (
        "there is no file no/such.py\n  hint: write the path from this folder\n"
    ),
    ("show", "no_such_module:plan"): (
        "there is no module no_such_module to import\n"
        "  hint: install it, or write the file: path/file.py:name\n"
    ),
    ("show", "post_update", "--size", "req:3"): (
        "--size req:3 is no capacity\n  hint: write the axis and a count, such as req=1024\n"
    ),
    ("codegen", "post_update", "-o", "no/folder/kernel.py"): (
        "there is no folder no/folder\n  hint: create it first\n"
    ),
    ("replay", "no/trace.csv"): (
        "no/trace.csv: there is no such file\n  hint: give the path of a CSV file\n"
    ),
}


@pytest.mark.parametrize("arguments", REFUSALS, ids=" ".join)
def test_refusals_are_text_on_stderr(arguments: tuple[str, ...]) -> None:
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert refused.stderr == REFUSALS[arguments]
    assert refused.stdout == ""


def test_a_name_that_is_no_plan(own: str) -> None:
    refused = run("show", f"{own}:number")
    assert refused.exit_code == 2
    assert refused.stderr == f"{own} has no plan called number\n  hint: it has fences\n"


def test_an_unknown_target() -> None:
    refused = run("explain", "post_update", "--target", "cuda:1")
    assert refused.exit_code == 2
    assert "cuda:1" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_replay_reports_steps_and_mismatches(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    lines = [f"2023-11-16 18:15:{second:02}.5,{30 + 7 * second},9" for second in range(12)]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(lines) + "\n")
    told = run("replay", str(trace), "--steps", "12", "--json", "--device", "cpu")
    assert told.exit_code == 0, told.output
    report = json.loads(told.stdout)
    assert (report["steps"], report["mismatches"]) == (12, 0)
    assert set(report["plans"]) == set(FIRST) - {"decode_slots"}
    assert report["machine"]["versions"]["torch"]
    assert str(tmp_path) not in told.stdout


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        (["/some/bin/python3", "-m", "bench.cold", "--out", "a"], "python -m bench.cold --out a"),
        (
            ["/usr/bin/python", "/usr/bin/metaplan", "replay", "/data/a.csv"],
            "metaplan replay a.csv",
        ),
        (["python", "bench/launch.py"], "python bench/launch.py"),
    ],
)
def test_a_report_names_its_command_without_folders(words: list[str], typed: str) -> None:
    assert command(words) == typed


def test_demo_draws_its_picture(tmp_path: Path) -> None:
    place = tmp_path / "step.png"
    shown = run("demo", "--steps", "8", "--out", str(place), "--device", "cpu")
    assert shown.exit_code == 0, shown.output
    assert place.read_bytes().startswith(b"\x89PNG")
    assert "v4_decode" in shown.stdout
