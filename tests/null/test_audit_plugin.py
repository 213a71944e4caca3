"""The fixture sync_audit, in a process of its own as a user's tests would have it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.null

ROOT = Path(__file__).parents[2]
TESTS = """\
import sys

def test_start():
    assert not {"torch", "triton"} & set(sys.modules)

def test_audited(sync_audit):
    sync_audit(lambda: None)
"""


def pytest_run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_theirs.py").write_text(TESTS)
    plugin = ["-p", "metaplan.auditing.pytest_plugin", "-p", "no:cacheprovider"]
    line = [sys.executable, "-m", "pytest", "-rs", *plugin, *words, "test_theirs.py"]
    return subprocess.run(
        line,
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def test_the_entry_point_is_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    assert hasattr(import_module(module), "sync_audit")
    package = module.rpartition(".")[0]
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    assert package in packages, "a wheel ships it"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_it_skips_without_a_gpu_and_starts_without_torch(tmp_path: Path) -> None:
    done = pytest_run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "sync_audit: torch sees no GPU here, so nothing can wait for one" in done.stdout
