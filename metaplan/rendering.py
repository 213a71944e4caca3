"""The committed kernels: one self-contained file for each shipped plan."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from metaplan import assets, cache, compiler, reference
from metaplan.errors import MetaplanError
from metaplan.plans import shipped
from metaplan.target import target as named

TARGET = "cuda:90"


class NowhereToWrite(MetaplanError):
    """The folder of the output file does not exist."""


def names() -> tuple[str, ...]:
    """The plans whose kernels are committed."""
    return tuple(shipped())


def render(plan: str, sizes: Iterable[str] = (), target: str = TARGET) -> str:
    """A file's text: kernel, launcher and the shape and tail of every argument."""
    from metaplan import export

    chosen = reference.find(plan, sizes)
    return export.self_contained(compiler.build(chosen.plan.ir, chosen.sizes, named(target)))


def write(path: Path, text: str) -> None:
    """Writes ``path`` whole, or says why it cannot and writes nothing."""
    if not path.absolute().parent.is_dir():
        raise NowhereToWrite(f"there is no folder {path.parent}", hint="create it first")
    cache.write_whole(path, text)


def renew() -> tuple[Path, ...]:
    """Renders every shipped plan into kernels/; the paths that were written."""
    folder = assets.folder("kernels")
    texts = {folder / f"{name}.py": render(name) for name in names()}
    for path, text in texts.items():
        cache.write_whole(path, text)
    return tuple(texts)


def drifts(plan: str | None = None) -> tuple[str, ...]:
    """A unified diff for each kernel file that is not what its plan renders to now; only that of ``plan``."""
    folder = assets.folder("kernels")
    expected = {f"{name}.py": render(name) for name in (names() if plan is None else (plan,))}
    files = folder.glob("*.py" if plan is None else f"{plan}.py")
    found = {path.name: path.read_text(encoding="utf-8") for path in files}
    found.pop("__init__.py", None)
    return tuple(
        _diff(name, found.get(name, ""), expected.get(name, ""))
        for name in sorted(expected.keys() | found.keys())
        if found.get(name) != expected.get(name)
    )


def _diff(name: str, committed: str, rendered: str) -> str:
    lines = difflib.unified_diff(
        committed.splitlines(),
        rendered.splitlines(),
        f"kernels/{name}",
        "rendered now",
        lineterm="",
    )
    return "\n".join(lines)
