"""A project that uses metaplan passes its own type checker and linter: the README's example, and a larger plan."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEIRS = Path(__file__).with_name("project")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Their files and the README's example, far from this repository."""
    shutil.copytree(THEIRS, tmp_path, dirs_exist_ok=True)
    # For an installed package: pyright does not follow setuptools' editable finder.
    rules = (THEIRS / "pyproject.toml").read_text().replace("../../..", ROOT.as_posix())
    (tmp_path / "pyproject.toml").write_text(rules)
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "example.py").write_text(found.group(1))
    return tmp_path


def run(folder: Path, *words: str) -> tuple[int, str]:
    """The exit code of ``python *words`` in ``folder``, and what it said."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def pyright(folder: Path) -> tuple[int, str]:
    return run(folder, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(folder))


def test_pyright_strict_accepts_it(project: Path) -> None:
    code, said = pyright(project)
    assert code == 0, said
    assert "0 errors, 0 warnings" in said


def test_pyright_finds_a_mistake_in_it(project: Path) -> None:
    """It reads the types of metaplan, so that silence means something."""
    place = project / "page_lists.py"
    text = place.read_text()
    assert "mp.cdiv(length, PAGE)" in text
    place.write_text(text.replace("mp.cdiv(length, PAGE)", "length / PAGE"))
    code, said = pyright(project)
    assert code == 1
    assert 'Operator "/" not supported for types "Value"' in said


def test_ruff_accepts_it(project: Path) -> None:
    code, said = run(project, "-m", "ruff", "check", "--no-cache", ".")
    assert code == 0, said


def test_it_runs_without_a_gpu(project: Path) -> None:
    code, said = run(project, "page_lists.py")
    assert code == 0, said
    assert "slot_mapping: int64[" in said
