# pyright: basic
"""The JSON lines of bench/loops as one set of results, and as tables: the newest line of each cell stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
KEYS = {
    "loop": ("size", "batch", "host"),
    "watched": ("size", "batch", "host"),
    "accepted": ("batch", "drafts", "host"),
    "preparation": ("batch", "context"),
}
"""What makes a row of a table, by the kind of its lines; a column is a side."""
FILES = ("loops_idle", "loops_watched", "loops_accepted", "loops_preparation")


@dataclass(frozen=True, slots=True)
class LoopResults:
    """Lines by kind and cell, those of sides that were right; and what machines they come from."""

    rows: dict[str, dict[tuple[Any, ...], dict[str, Row]]]
    runs: dict[str, list[Row]]
    failed: tuple[Row, ...]

    @classmethod
    def read(cls, folder: Path) -> LoopResults:
        rows: dict[str, dict[tuple[Any, ...], dict[str, Row]]] = {kind: {} for kind in KEYS}
        runs: dict[str, Row] = {}
        lines: list[Row] = []
        for path in (folder / f"{name}.jsonl" for name in FILES):
            text = path.read_text() if path.exists() else ""
            lines += [json.loads(line) for line in text.splitlines() if line.strip()]
        failed: dict[tuple[Any, ...], Row] = {}
        for row in lines:
            kind = row["kind"]
            if kind == "run":
                runs[row["run"]] = row
            if kind not in KEYS:
                continue
            cell, side = tuple(row[key] for key in KEYS[kind]), row.get("side", "")
            failed.pop((kind, cell, side), None)
            if row.get("checked") and "error" not in row:
                rows[kind].setdefault(cell, {})[side] = row
            else:
                failed[kind, cell, side] = row
        told = {
            kind: {row["run"] for cell in cells.values() for row in cell.values()}
            for kind, cells in rows.items()
        }
        ran = {kind: [run for name, run in runs.items() if name in told[kind]] for kind in KEYS}
        return cls(rows, ran, tuple(failed.values()))

    def sides(self, kind: str) -> list[str]:
        """In the order of the lines."""
        return list(dict.fromkeys(side for cell in self.rows[kind].values() for side in cell))

    def wrong(self, kind: str) -> list[str]:
        """What has no result, and why."""
        return [
            f"{told(row)}: {row.get('error') or '; '.join(row.get('wrong', ()))}"
            for row in self.failed
            if row["kind"] == kind
        ]


def told(row: Row) -> str:
    cell = ", ".join(f"{key} {row[key]}" for key in KEYS[row["kind"]])
    return f"{row['kind']}, {cell}: {row.get('side', 'all sides')}"


def table_rows(results: LoopResults, kind: str, shown: Callable[[Row], str]) -> list[list[str]]:
    """A line for each cell: its key, then what ``shown`` says of each side."""
    return [
        [
            *(said(value) for value in cell),
            *(_of(sides, side, shown) for side in results.sides(kind)),
        ]
        for cell, sides in sorted(results.rows[kind].items())
    ]


def _of(sides: dict[str, Row], side: str, shown: Callable[[Row], str]) -> str:
    return shown(sides[side]) if side in sides else ""


def said(value: Any) -> str:
    return f"{value:g}x" if isinstance(value, float) else str(value)


def idle(row: Row) -> str:
    """Idle share, and the wall time of a step."""
    return f"{100 * row['idle']:.1f} % ({row['wall_us'] / 1e3:.2f} ms)"


def tokens(row: Row) -> str:
    """Tokens a second."""
    return f"{row['tokens_per_s']:,.0f}"


def wall(row: Row) -> str:
    """The wall time of a step, and how much of it is not the GPU's."""
    return f"{row['wall_us'] / 1e3:.2f} ms (+{row['gap_us'] / 1e3:.2f})"


def preparation(row: Row) -> str:
    """CPU time, device time, what the preparation adds to a step."""
    device = row.get("gpu_us", row.get("device_us", 0.0))
    return f"{row['cpu_us']:,.0f} / {device:,.1f} / {row['beside_us']:,.0f}"


def traffic(row: Row) -> str:
    """What a call asks of the driver."""
    return f"{row['kernels']:g} / {row['host_to_device']:g}"


def asked(row: Row) -> str:
    """What a step asks of the driver, and how often its launch came before the GPU ran dry."""
    step, ahead = row["a_step"], row["run_ahead"]
    copies = f"{step['host_to_device']:g} in, {step['device_to_host']:g} out"
    calls = f"{step['launches']:g} + {step['graph_launches']:g} / {copies} / {step['waits']:g}"
    return calls if ahead is None else f"{calls} / {100 * ahead:.0f} %"


HEADS: dict[str, Sequence[str]] = {
    "loop": ("model", "B", "host work"),
    "watched": ("model", "B", "host work"),
    "accepted": ("B", "K", "host work"),
    "preparation": ("B", "context"),
}


PICTURE = "![GPU idle in a decode loop](figures/idle.png)"
PARTS: dict[str, tuple[str, tuple[tuple[str, Callable[[Row], str]], ...]]] = {
    "idle": (
        "loop",
        (
            (
                f"{PICTURE}\n\nShare of a step in which the GPU does not do the model's work; in"
                " brackets the wall time of the step.",
                idle,
            ),
            (
                "Tokens a second that requests were given: a row that runs behind its request's end gives none.",
                tokens,
            ),
        ),
    ),
    "watched": (
        "watched",
        (
            (
                "A step: single launches + graphs / copies to and from the device / waits of the host / how often"
                " the next step was launched before the GPU had done with the one before.",
                asked,
            ),
        ),
    ),
    "accepted": (
        "accepted",
        (("Wall time of a step; in brackets what of it the GPU does not work.", wall),),
    ),
    "preparation": (
        "preparation",
        (
            (
                "Microseconds: CPU of a call / device / what the preparation adds to a step's wall time.",
                preparation,
            ),
            ("Kernels / copies to the device of a call.", traffic),
        ),
    ),
}
"""The generated blocks: the kind of lines that they show, then notes with what is shown of a side."""


def blocks(
    results: LoopResults,
    table: Callable[[list[str], list[list[str]]], str],
    ran: Callable[[Sequence[Row]], str],
) -> dict[str, str]:
    """The text of each generated block: where it ran, its tables, what has no result."""
    made: dict[str, str] = {}
    for name, (kind, parts) in PARTS.items():
        head = [*HEADS[kind], *results.sides(kind)]
        text = [
            f"{note}\n\n{table(head, table_rows(results, kind, shown))}" for note, shown in parts
        ]
        wrong = [f"- {line}" for line in results.wrong(kind)]
        text += ["Without a result:\n\n" + "\n".join(wrong)] if wrong else []
        known = bool(results.rows[kind])
        made[name] = "\n\n".join([ran(results.runs[kind]), *text]) if known else "Not measured."
    return made
