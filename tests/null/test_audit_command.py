"""metaplan audit on traces and scripts: what it prints, its exit codes, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from traced import Made, ahead, waiting
from typer.testing import CliRunner, Result

from metaplan.auditing import chrome, script
from metaplan.auditing.report import report
from metaplan.cli import app
from metaplan.errors import CallError
from metaplan.picture.timeline import OTHER, WAITING, panel, span, timeline

pytestmark = pytest.mark.null

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return waiting(5).write(tmp_path / "before.json")


@pytest.fixture
def after(tmp_path: Path) -> Path:
    return ahead(8).write(tmp_path / "after.json.gz")


def rows(told: Result) -> dict[str, list[str]]:
    """The table's rows by their name."""
    found: dict[str, list[str]] = {}
    for line in told.stdout.splitlines():
        name, *cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
        found[name] = cells
    return found


def test_a_trace_is_told_as_a_table(before: Path) -> None:
    told = run(before)
    assert told.exit_code == 0, told.output
    table = rows(told)
    assert table["us on the host"] == ["100.0"]
    assert table["waits"] == ["1"]
    assert table["host to device"] == ["0"]
    assert table["steps"] == ["5"]
    assert table["run-ahead"] == ["0%"]
    assert table["GPU 0 idle"] == ["52.5%"]
    assert "wait: Tensor.item (cudaStreamSynchronize) x5, 195.0 us at loop.py:12" in told.stdout
    assert "from loop.py:30 in <module>" in told.stdout


def test_two_traces_stand_side_by_side(before: Path, after: Path) -> None:
    told = run(before, "--against", after, "--skip", "1")
    assert told.exit_code == 0, told.output
    table = rows(told)
    assert table["a step"] == ["before.json", "after.json.gz"]
    assert table["steps"] == ["4", "7"]
    assert table["waits"] == ["1", "0"]
    assert table["graph launches"] == ["0", "1"]
    assert table["run-ahead"] == ["0%", "100%"]
    assert "after.json.gz: nothing waited" in told.stdout
    assert "before.json: nothing waited" not in told.stdout


def test_json_is_all_that_is_printed(before: Path, after: Path) -> None:
    told = run(before, "--json")
    found = json.loads(told.stdout)
    assert (found["clean"], found["steps"], found["step_us"]) == (False, 5, 100)
    assert found["findings"][0]["stack"] == ["loop.py:12 in sample", "loop.py:30 in <module>"]
    assert found["a_step"]["pageable"] == 1
    assert len(found["counts"]) == 5
    both = json.loads(run(before, "--against", after, "--json").stdout)
    assert [one["name"] for one in both] == ["before.json", "after.json.gz"]


@pytest.mark.parametrize(
    ("kinds", "code"), [("wait", 1), ("alloc", 0), ("alloc,pageable", 1), ("", 0)]
)
def test_fail_on_is_an_exit_code(before: Path, kinds: str, code: int) -> None:
    told = run(before, "--fail-on", kinds)
    assert told.exit_code == code
    assert "waits" in told.stdout, "the report is printed all the same"
    assert bool(told.stderr) == bool(code)


def test_a_clean_trace_fails_on_nothing(after: Path) -> None:
    assert run(after, "--fail-on", "wait,pageable,alloc").exit_code == 0


def test_refusals(tmp_path: Path, before: Path) -> None:
    cpu = Made()
    cpu.add("cpu_op", "aten::add", 0, 5)
    (tmp_path / "text.json").write_text("no json")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "cut.json.gz").write_bytes(b"\x1f\x8b\x08")
    told = {
        run(tmp_path / "no.json"): f"there is no file {tmp_path / 'no.json'}",
        run(tmp_path / "text.json"): "is no trace of torch's profiler",
        run(tmp_path / "list.json"): "is no trace of torch's profiler",
        run(tmp_path / "cut.json.gz"): "is no trace of torch's profiler",
        run(cpu.write(tmp_path / "cpu.json")): "cpu.json has no work of a GPU: there was none",
        run(tmp_path / "no.py"): f"there is no script {tmp_path / 'no.py'}",
        run(before, "--against", tmp_path / "no.py"): "there is no script",
        run(before, "--fail-on", "wait,waits"): "--fail-on waits is nothing to find",
        run(before, "--skip", "5"): "5 steps were marked and 5 are to be skipped",
    }
    for refused, words in told.items():
        assert refused.exit_code == 2
        assert words in refused.stderr
        assert "hint: " in refused.stderr
        assert refused.stdout == ""


@without_gpu
def test_a_script_is_not_even_started_without_a_gpu(tmp_path: Path) -> None:
    place = tmp_path / "loop.py"
    place.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused = run(place)
    assert refused.exit_code == 2
    assert "a sync audit needs a GPU, and this machine has none" in refused.stderr
    assert not (tmp_path / "ran").exists()


def test_help_of_the_command_line_stays_light() -> None:
    program = (
        "import sys, metaplan, metaplan.auditing.pytest_plugin, metaplan.cli; metaplan.audit_step()"
    )
    program += "; print({'torch', 'triton', 'matplotlib'} & set(sys.modules))"
    line = [sys.executable, "-c", program]
    assert subprocess.run(line, capture_output=True, text=True).stdout.strip() == "set()"


# A script, run as Python would.


def test_a_script_sees_its_arguments_its_folder_and_its_name(tmp_path: Path, capsys) -> None:
    (tmp_path / "beside_it.py").write_text("number = 7\n")
    place = tmp_path / "loop.py"
    place.write_text(
        "import sys, beside_it\nprint(sys.argv[1:], __name__, beside_it.number, __file__ == sys.argv[0])\n"
    )
    argv, folders = sys.argv, list(sys.path)
    assert script.run(place, ("--steps", "3")) == 0
    assert capsys.readouterr().out == "['--steps', '3'] __main__ 7 True\n"
    assert (sys.argv, sys.path) == (argv, folders)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(0)", 0, ""),
        ("raise SystemExit(5)", 5, ""),
        ("raise SystemExit('no data')", 1, "no data\n"),
    ],
)
def test_sys_exit_passes_through(tmp_path: Path, capsys, text: str, code: int, said: str) -> None:
    place = tmp_path / "loop.py"
    place.write_text(text)
    assert script.run(place, ()) == code
    assert capsys.readouterr().err == said


def test_an_error_of_the_script_begins_at_its_own_line(tmp_path: Path, capsys) -> None:
    place = tmp_path / "loop.py"
    place.write_text("def f():\n    return {}['missing']\n\nf()\n")
    assert script.run(place, ()) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "Traceback (most recent call last):"
    assert said[1] == f'  File "{place}", line 4, in <module>'
    assert said[-1] == "KeyError: 'missing'"
    assert "runpy" not in "".join(said)


def test_an_error_in_its_text_is_shown(tmp_path: Path, capsys) -> None:
    place = tmp_path / "loop.py"
    place.write_text("def f(:\n")
    assert script.run(place, ()) == 1
    assert "SyntaxError" in capsys.readouterr().err


def test_a_script_that_is_not_there() -> None:
    with pytest.raises(CallError, match=r"there is no script no/such\.py"):
        script.run(Path("no/such.py"), ())


# The picture.


def test_a_picture_is_drawn(before: Path, after: Path, tmp_path: Path) -> None:
    place = tmp_path / "timeline.png"
    told = run(before, "--against", after, "--picture", place)
    assert told.exit_code == 0, told.output
    assert place.read_bytes().startswith(b"\x89PNG")


def test_lanes_show_who_waits_and_whose_work_it_is() -> None:
    first, second = (chrome.parse(made.events, "x") for made in (waiting(5), ahead(8)))
    both = [(trace, report(trace)) for trace in (first, second)]
    window = max(span(trace, told.steps, 2) for trace, told in both)
    assert window == 200
    waits = panel(*both[0], window)
    assert waits.marks == ((0, 3), (100, 4))
    host, gpu = (dict(waits.lanes)[name] for name in ("host", "GPU 0 stream 7"))
    red = [(block.start, block.end) for block in host if block.fill == WAITING]
    assert red == [(21, 60), (121, 160)]
    assert [block.fill == WAITING for block in gpu] == [False, True, False, True]
    runs = panel(*both[1], window)
    assert [number for _, number in runs.marks] == list(range(8))
    launches, works = (dict(runs.lanes)[name] for name in ("host", "GPU 0 stream 7"))
    # Two kernels of a step are one block; its colour is that of the launch.
    assert [(block.start, block.end) for block in works] == [(10, 90), (90, 170), (170, 250)]
    assert [block.fill for block in works] == [block.fill for block in launches[:3]]
    assert {block.fill for block in launches}.isdisjoint({WAITING, OTHER})


def test_the_picture_leaves_nothing_else(tmp_path: Path) -> None:
    trace = chrome.parse(ahead(3).events, "x")
    place = timeline([(trace, report(trace))], tmp_path / "one.png")
    assert list(tmp_path.iterdir()) == [place]


# A script under the recorder: all but the GPU.


@pytest.fixture
def as_if_with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace of this machine has no GPU work, so the waiting loop's stands behind it."""
    parse = chrome.parse

    def with_work(events, name):
        shift = max(float(event["ts"]) for event in events if event.get("ph") == "X")
        made = [e | {"ts": e["ts"] - 1e12 + shift + 1e3} for e in waiting(2).events if "ts" in e]
        return parse([*events, *(e for e in made if e["cat"] != "user_annotation")], name)

    monkeypatch.setattr("metaplan.cli.audit.need_gpu", lambda: None)
    monkeypatch.setattr("metaplan.auditing.chrome.parse", with_work)


def loop(folder: Path, text: str) -> Path:
    place = folder / "loop.py"
    place.write_text("import sys\nimport metaplan as mp\nimport torch\n" + text)
    return place


MARKED = """\
for _ in range(int(sys.argv[1])):
    print("a step")
    mp.audit_step()
"""


@without_gpu
def test_a_script_is_run_recorded_and_saved(tmp_path: Path, as_if_with_gpu: None) -> None:
    kept = tmp_path / "trace.json.gz"
    place = loop(tmp_path, MARKED + "mp.audit_step()\ntorch.ones(1)\n")
    refused = run(place, "--skip", "2", "--save", kept, "--", "5")
    # The steps are those that the script marked; the GPU's work lies behind them, in none.
    assert "has no work of a GPU" in refused.stderr
    assert refused.stdout == "a step\n" * 5
    marks = [mark for mark in chrome.read(kept).marks if mark.name == "metaplan.step"]
    assert len(marks) == 4


@without_gpu
def test_a_script_that_fails_keeps_its_exit_code(tmp_path: Path, as_if_with_gpu: None) -> None:
    told = run(loop(tmp_path, MARKED + "sys.exit(7)\n"), "--json", "--", "3")
    assert told.exit_code == 7
    assert "loop.py ended with exit code 7: no report" in told.stderr
    assert told.stdout == "", "what the script prints goes to stderr beside --json"
    assert told.stderr.startswith("a step\n")


@without_gpu
def test_too_few_steps_are_refused(tmp_path: Path, as_if_with_gpu: None) -> None:
    told = run(loop(tmp_path, MARKED), "--skip", "3", "--", "3")
    assert told.exit_code == 2
    assert "2 steps were marked and 3 are to be skipped" in told.stderr
