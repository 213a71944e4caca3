"""The golden messages in errors/: each case is a user's code, then the whole text of what it is told."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch

import metaplan as mp
from metaplan import catalogue
from metaplan.errors import MetaplanError

FOLDER = Path(__file__).parent / "errors"
FILE = "plan.py"
NAMES = {
    "Annotated": Annotated,
    "boolean": mp.boolean,
    "catalogue": catalogue,
    "i32": mp.i32,
    "i64": mp.i64,
    "mp": mp,
    "np": np,
    "torch": torch,
    "u8": mp.u8,
    "u16": mp.u16,
}


@dataclass(frozen=True, slots=True)
class Mistake:
    topic: str
    title: str
    code: str
    message: str

    @property
    def text(self) -> str:
        return f"== {self.title}\n{self.code}\n--\n{self.message}\n"


def read(path: Path) -> Iterator[Mistake]:
    for case in re.split("^== ", path.read_text(), flags=re.MULTILINE)[1:]:
        title, _, rest = case.partition("\n")
        code, _, message = rest.partition("\n--\n")
        yield Mistake(path.stem, title, code, message.strip("\n"))


def mistakes() -> list[Mistake]:
    return [m for path in sorted(FOLDER.glob("*.txt")) for m in read(path)]


def execute(code: str) -> dict[str, Any]:
    """Runs a user's file called plan.py; its names."""
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    names: dict[str, Any] = {"__name__": "user", **NAMES}
    try:
        exec(compile(code, FILE, "exec"), names)
    finally:
        linecache.cache.pop(FILE, None)
    return names


def run(code: str) -> MetaplanError | None:
    """What a user's file is told; anything else that it raises is a fault of ours."""
    try:
        execute(code)
    except MetaplanError as error:
        return error
    return None


def rewrite() -> None:
    """Writes what is said today into the golden files; read the diff."""
    for path in sorted(FOLDER.glob("*.txt")):
        made = [
            Mistake(m.topic, m.title, m.code, str(run(m.code)) or "nothing is said")
            for m in read(path)
        ]
        path.write_text("\n".join(m.text for m in made))


if __name__ == "__main__":
    rewrite()
