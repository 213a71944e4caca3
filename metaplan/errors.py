"""Errors that say where in the user's plan, what is wrong, and what to write instead."""

from __future__ import annotations

import linecache
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType

_PACKAGE = str(Path(__file__).parent)
_PLANS = str(Path(__file__).parent / "plans")


def _ours(file: str) -> bool:
    """Our own frames, and the "<string>" frame of every __init__ that dataclass writes."""
    return file == "<string>" or (file.startswith(_PACKAGE) and not file.startswith(_PLANS))


@lru_cache(maxsize=65536)
def _span(code: CodeType, instruction: int) -> tuple[int, int, int, int]:
    found = next(islice(code.co_positions(), instruction, None))
    line, end_line, column, end_column = found
    return line or 0, end_line or line or 0, column or 0, end_column or 0


@dataclass(frozen=True, slots=True)
class Loc:
    """A span of the user's source. Compared by nobody: it never changes what a plan means."""

    file: str
    line: int
    end_line: int = 0
    column: int = 0
    end_column: int = 0

    @classmethod
    def here(cls) -> Loc:
        """The expression that the nearest caller outside this package is evaluating."""
        frame: FrameType = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        while frame.f_back is not None and _ours(frame.f_code.co_filename):
            frame = frame.f_back
        code = frame.f_code
        line, end_line, column, end_column = _span(code, frame.f_lasti // 2)
        return cls(code.co_filename, line or frame.f_lineno, end_line, column, end_column)

    def unnamed(self) -> Loc:
        """The same line for something that the user did not write down there."""
        return Loc(self.file, self.line)

    def __str__(self) -> str:
        return f"{Path(self.file).name}:{self.line}"

    def text(self) -> str:
        """The line, without its indentation; empty where there is no source."""
        return linecache.getline(self.file, self.line).strip()

    def excerpt(self) -> str:
        """The line under its place, with carets under the span."""
        raw = linecache.getline(self.file, self.line).rstrip("\n")
        line = raw.strip()
        if not line:
            return f"  {self}\n"
        indent = len(raw) - len(raw.lstrip())
        first = max(self.column - indent, 0)
        last = self.end_column - indent if self.end_line == self.line else len(line)
        carets = " " * first + "^" * max(min(last, len(line)) - first, 1)
        return f"  {self}\n    {line}\n    {carets}\n"


class MetaplanError(Exception):
    """Everything that metaplan raises for a user to fix; a bug of ours is an assert."""

    def __init__(self, message: str, *, hint: str = "", excerpt: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(f"{message}\n{excerpt}" + (f"  hint: {hint}" if hint else ""))

    def __str__(self) -> str:
        return str(self.args[0]).rstrip("\n")


class PlanError(MetaplanError):
    """The plan cannot mean what it says."""

    def __init__(self, message: str, *, loc: Loc, hint: str = "") -> None:
        self.loc = loc
        super().__init__(message, hint=hint, excerpt=loc.excerpt())


class CallError(MetaplanError):
    """A compiled step was called with something that it cannot take; nothing was launched."""


class SyncError(MetaplanError):
    """A region that promised not to wait for the GPU waited."""
