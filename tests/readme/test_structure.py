"""docs/structure.md has a line for every module and nothing else, docs/language.md every public name."""

from __future__ import annotations

import re
from pathlib import Path

import metaplan
from metaplan.plans import shipped

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "metaplan"


def test_every_module_has_its_line() -> None:
    page = (ROOT / "docs" / "structure.md").read_text()
    told = re.findall(r"`([a-z0-9_/]+\.py)`", page)
    there = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if not path.name.startswith("__")
    }
    assert sorted(told) == sorted(there)


def test_links_of_the_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: nothing at {target}"


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "language.md").read_text()
    told = set(re.findall(r"`(?:mp\.)?(\w+)", page)) | set(re.findall(r"\bmp\.(\w+)", page))
    assert not set(metaplan.__all__) - told


def test_the_readme_counts_the_shipped_plans() -> None:
    told = re.search(r"There are (\d+) shipped plans", (ROOT / "README.md").read_text())
    assert told is not None
    assert int(told[1]) == len(shipped())
