"""What README.md and docs/*.md show runs as it stands, and prints what they say it prints."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from blocks import Block, blocks, commands, printed, stands_in

from metaplan.plans import shipped

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
ALL = [b for page in PAGES for b in blocks(page)]
PRINTED = {a.name: b for a, b in pairwise(ALL) if b.info == "text printed" and a.file == b.file}
PROGRAMS = [b for b in ALL if b.info == "python"]
EXCERPTS = [b for b in ALL if b.info.startswith("python ")]
CONSOLES = [b for b in ALL if b.info == "console checked"]
# Console examples run make's own environment, whatever directory is on PATH.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def named(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=[b.name for b in found])


@named(PROGRAMS)
def test_python_block_runs_in_a_fresh_process(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(block.text)
    output = run(f"{sys.executable} {program}", block)
    if block.name in PRINTED:
        assert output == PRINTED[block.name].text


def test_printed_text_stands_under_a_program() -> None:
    assert PRINTED.keys() <= {b.name for b in PROGRAMS}
    assert len(PRINTED) == sum(b.info == "text printed" for b in ALL)


@named(EXCERPTS)
def test_excerpt_stands_in_the_file_it_names(block: Block) -> None:
    file = block.info.removeprefix("python ").strip()
    missing = stands_in(block.text, (ROOT / file).read_text())
    assert missing is None, f"{block.name}: {file} has no such line here: {missing!r}"


@named(CONSOLES)
def test_console_block_prints_what_it_says(block: Block) -> None:
    for command in commands(block):
        output = run(command.line, block)
        missing = printed(command.output, output)
        assert missing is None, (
            f"{block.name}: $ {command.line} did not print {missing!r}:\n{output}"
        )


def test_readme_shows_a_program_and_the_kernel_that_it_becomes() -> None:
    infos = [b.info for b in blocks(ROOT / "README.md")]
    assert infos[0] == "python"
    assert any(info.startswith("python kernels/") for info in infos)


def test_readme_shows_the_plan_that_is_shipped(tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(PROGRAMS[0].text)
    shown = runpy.run_path(str(program))["decode_slots"]
    assert shown.text() == shipped()["decode_slots"].plan.text()


def test_every_console_block_is_checked_or_says_that_it_is_not() -> None:
    odd = [b.name for b in ALL if b.info.startswith("console") and b.info not in (
        "console checked", "console",
    )]  # fmt: skip
    assert not odd


def run(line: str, block: Block) -> str:
    done = subprocess.run(
        line, shell=True, cwd=ROOT, env={**os.environ, "PATH": PATH},
        capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.name}: $ {line} exits {done.returncode}\n{done.stderr}"
    return done.stdout
