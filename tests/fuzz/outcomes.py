"""What became of one drawn plan."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path

FINE, REFUSED, FAILED = "fine", "refused", "failed"


@dataclass(slots=True)
class Outcome:
    """``what``: the entry of the catalogue that refused it, or the kind of a failure; ``text``: all of it."""

    seed: int
    state: str = FINE
    what: str = ""
    text: str = ""
    batches: int = 0
    cells: int = 0
    broken: int = 0
    """Batches in which the data broke a promise."""
    compiled: bool = False
    """Whether it was compiled for GPUs, beside what else became of it."""
    seconds: float = 0.0
    source: str = ""
    sizes: dict[str, int] = field(default_factory=dict)


class Wrong(AssertionError):
    """Two ways to run a plan disagree; the first word is the kind."""


def innermost(error: BaseException) -> str:
    """The kind of an unexpected error: its type and the function of ours that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        f
        for f in frames
        if "metaplan" in Path(f.filename).parts and "tests" not in Path(f.filename).parts
    ]
    last = ours[-1] if ours else frames[-1]
    return f"{type(error).__name__} in {Path(last.filename).stem}.{last.name}"
