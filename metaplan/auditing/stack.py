"""The user's own lines: those outside torch, this package and what Python puts around a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import FrameType

DEPTH = 8
_OWN = str(Path(__file__).parents[1])
_AROUND = ("/torch/", "/contextlib.py", "/warnings.py", "/threading.py", "<frozen ")


def is_users(file: str) -> bool:
    """Whether a frame of ``file`` is the user's."""
    return not file.startswith(_OWN) and not any(part in f"/{file}" for part in _AROUND)


def stack() -> tuple[str, ...]:
    """Where the caller is, from the nearest line outwards, as ``file.py:12 in function``."""
    return told(_frames(sys._getframe(1)))  # pyright: ignore[reportPrivateUsage]


def told(frames: Iterable[tuple[str, int, str]]) -> tuple[str, ...]:
    """(file, line, function) from the nearest outwards as text: the user's, at most DEPTH."""
    users = (frame for frame in frames if is_users(frame[0]))
    return tuple(f"{Path(file).name}:{line} in {name}" for file, line, name in islice(users, DEPTH))


def _frames(frame: FrameType | None) -> Iterator[tuple[str, int, str]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back
