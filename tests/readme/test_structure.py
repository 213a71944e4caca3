"""docs/structure.md has a line for every module, and for nothing else."""

from __future__ import annotations

import re
from pathlib import Path

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
