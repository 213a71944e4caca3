"""Generated text on disk: a key names a folder, which appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from metaplan.errors import MetaplanError

Files = Mapping[str, str]


class MissingKernel(MetaplanError):
    """METAPLAN_DISABLE_JIT is set and the cache lacks this key."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What a cache folder holds."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Cache:
    """Folders of text files under ``root``, shared safely by any number of processes."""

    root: Path
    frozen: bool = False

    def folder(self, key: str, make: Callable[[], Files]) -> Path:
        """The folder of ``key``; ``make`` is called by one process, and only if it is not there yet."""
        found = self._place(key)
        if found.is_dir():
            return found
        if self.frozen:
            raise MissingKernel(
                f"METAPLAN_DISABLE_JIT is set and {self.root} has no kernel {key}",
                hint="compile it once with the variable unset, or ship that folder",
            )
        found.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(found.with_suffix(".lock")):
            if not found.is_dir():
                self._publish(found, make())
        return found

    def stats(self) -> Stats:
        """How many entries there are and how many bytes they take."""
        entries = list(self._entries())
        size = sum(f.stat().st_size for entry in entries for f in entry.rglob("*") if f.is_file())
        return Stats(len(entries), size)

    def clear(self) -> Stats:
        """Removes every entry; says what was there."""
        before = self.stats()
        for entry in list(self._entries()):
            shutil.rmtree(entry)
            entry.with_suffix(".lock").unlink(missing_ok=True)
        return before

    def _place(self, key: str) -> Path:
        return self.root / key[:2] / key

    def _entries(self) -> Iterator[Path]:
        return (e for e in sorted(self.root.glob("??/*")) if e.is_dir() and e.suffix != ".new")

    def _publish(self, place: Path, files: Files) -> None:
        with tempfile.TemporaryDirectory(suffix=".new", dir=place.parent) as made:
            content = Path(made) / place.name
            for name, text in files.items():
                target = content / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
            content.replace(place)


def key(*parts: str | bytes) -> str:
    """A name for everything that decides the generated text; the order of the parts counts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Writes ``path`` so that a reader, or a crash, never meets half of it."""
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(made)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
