# pyright: basic
"""The JSON lines of bench/plans.py and bench/cold.py as one set of results: the newest line of each cell stands."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Cell = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Results:
    """Rows by (variant, batch, query, side); what the machine was and what it costs to do nothing."""

    rows: dict[tuple[str, int, int, str], Row]
    counts: dict[tuple[str, int, int, str], Row]
    compiles: dict[str, Row]
    runs: tuple[Row, ...]
    floors: dict[str, Row]

    @classmethod
    def read(cls, path: Path) -> Results:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        rows: dict[tuple[str, int, int, str], Row] = {}
        counts: dict[tuple[str, int, int, str], Row] = {}
        compiles: dict[str, Row] = {}
        floors: dict[str, Row] = {}
        runs: list[Row] = []
        for row in lines:
            match row["kind"]:
                case "side":
                    rows[_key(row)] = row
                case "count":
                    counts[_key(row)] = row
                case "compile":
                    compiles[row["plan"]] = row
                case "floor":
                    floors[row["run"]] = row
                case "run":
                    runs.append(row)
        return cls(rows, counts, compiles, tuple(runs), floors)

    def value(self, cell: Cell, side: str, name: str = "gpu_us") -> float | None:
        """One number, of a side that was right; None where there is none."""
        row = self.rows.get((*cell, side), {})
        return row.get(name) if row.get("checked") else None

    @property
    def floor(self) -> Row:
        """What doing nothing cost in the first run, which measured most; empty without one."""
        return next(iter(self.floors.values()), {})

    def floor_of(self, cell: Cell, side: str) -> Row:
        """The same in the run that measured ``side`` of ``cell``."""
        return self.floors.get(self.rows[*cell, side]["run"], self.floor)

    def cells(self) -> list[Cell]:
        """Every (variant, batch, query) that has a row, in a steady order."""
        return sorted({key[:3] for key in self.rows})

    def variants(self) -> list[str]:
        return list(dict.fromkeys(key[0] for key in self.rows))

    def ratios(
        self, side: str, name: str = "gpu_us", ours: str = "ours", their: str | None = None
    ) -> list[Ratio]:
        """Ours over theirs, in every cell that has both in the same run."""
        found: list[Ratio] = []
        for cell in self.cells():
            a, b = self.value(cell, ours, name), self.value(cell, side, their or name)
            runs = {self.rows[*cell, s]["run"] for s in (ours, side) if (*cell, s) in self.rows}
            if a is not None and b and len(runs) == 1:
                found.append(Ratio(cell, a, b))
        return found

    def wrong(self) -> Iterator[tuple[str, str]]:
        """(what, why) of every row without a valid result."""
        for (variant, batch, query, side), row in sorted({**self.counts, **self.rows}.items()):
            why = row.get("error") or ("; ".join(row["wrong"]) if row.get("wrong") else "")
            if why:
                yield f"{variant}, B={batch}, q={query}: {side}", why


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over theirs in one cell."""

    cell: Cell
    ours: float
    theirs: float

    @property
    def value(self) -> float:
        return self.ours / self.theirs

    def __str__(self) -> str:
        variant, batch, query = self.cell
        return f"{self.value:.2f} ({variant}, B={batch}, q={query})"


def middle(ratios: list[Ratio]) -> float:
    return statistics.median(r.value for r in ratios)


def _key(row: Row) -> tuple[str, int, int, str]:
    return row["variant"], row["batch"], row["query"], row["side"]
