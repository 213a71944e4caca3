"""The tree keeps its own rules: imports, environment, packages, sizes and nothing of one machine."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from pathlib import Path

import pytest
from layers import (
    FACE,
    LATE,
    PACKAGE,
    RANK,
    ROOT,
    USERS,
    imports,
    inside_functions,
    layer,
    modules,
    only_for_types,
)

MOST_LINES = 400
DATA = {"metaplan.kernels", "metaplan.oracles", "metaplan.templates"}
# Written in two parts, so that this file passes its own test.
PRIVATE = ["/ho" + "me/", "/ro" + "ot/", "/wo" + "rk/", "/tm" + "p/", "/Us" + "ers/"]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tracked() -> list[Path]:
    """Every text file of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = (ROOT / name for name in listed.stdout.splitlines())
    return [p for p in paths if p.is_file() and b"\0" not in p.read_bytes()[:4096]]


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_follow_the_arrows(path: Path) -> None:
    tree = ast.parse(path.read_text())
    here = layer(path)
    if here == FACE:
        return
    assert here in RANK, f"{relative(path)}: put {here} in its place in tests/null/layers.py"
    skipped, late = only_for_types(tree), inside_functions(tree)
    for name, line in imports(tree):
        if line in skipped or name == here or (name == FACE and here in USERS):
            continue
        if line in late and (here, name) in LATE:
            continue
        assert name in RANK, f"{relative(path)}:{line} imports {name}, which has no place"
        assert RANK[name] <= RANK[here], f"{relative(path)}:{line} imports {name} from below {here}"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_only_config_reads_the_environment(path: Path) -> None:
    if path == PACKAGE / "config.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb"):
            pytest.fail(f"{relative(path)}:{node.lineno} reads the environment: ask config.load()")


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_errors_are_never_swallowed_whole(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else ""
            where = f"{relative(path)}:{node.lineno}"
            assert caught not in ("", "Exception", "BaseException"), f"{where} catches everything"


def test_packages_are_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"])
    folders = {
        "metaplan" + "".join(f".{part}" for part in path.parent.relative_to(PACKAGE).parts)
        for path in modules()
    }
    assert listed == folders | DATA
    mapped = project["tool"]["setuptools"]["package-dir"]
    assert set(mapped) == DATA
    for name, place in mapped.items():
        assert (ROOT / place).is_dir(), f"{name}: no folder {place}"
        assert (ROOT / place / "__init__.py").exists(), f"{place} needs an __init__.py"


def test_files_are_short() -> None:
    counts = {relative(p): len(p.read_text().splitlines()) for p in tracked() if p.suffix == ".py"}
    long = {n: c for n, c in counts.items() if c > MOST_LINES and not n.startswith("kernels/")}
    assert not long, f"more than {MOST_LINES} lines: {long}"


def test_nothing_of_one_machine_is_in_the_tree() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if any(part in line for part in PRIVATE)
    ]
    assert not found, "\n".join(found)


def test_nothing_runs_at_import() -> None:
    """A module holds definitions, constants and imports: no loop, no file opened, nothing tried."""
    effects = (ast.For, ast.While, ast.With, ast.Try, ast.Delete, ast.AugAssign)
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            assert not isinstance(node, effects), f"{relative(path)}:{node.lineno}"
