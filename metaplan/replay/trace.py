"""Reads a request trace: when each request arrived, how long its prompt and its answer were."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TIMESTAMP, CONTEXT, GENERATED = "TIMESTAMP", "ContextTokens", "GeneratedTokens"
COLUMNS = (TIMESTAMP, CONTEXT, GENERATED)


class TraceError(ValueError):
    """A trace that cannot be replayed: where, and what to write instead."""

    def __init__(self, where: str, message: str, hint: str) -> None:
        super().__init__(f"{where}: {message}\n  hint: {hint}")


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in the order of their arrival."""

    name: str
    arrival: NDArray[np.float64]
    """float64[request], seconds since the first request"""
    context: NDArray[np.int32]
    """int32[request], tokens of the prompt, at least 1"""
    generated: NDArray[np.int32]
    """int32[request], tokens of the answer"""

    def __len__(self) -> int:
        return len(self.arrival)


def read(path: Path) -> Trace:
    """The trace in a CSV file that has the columns TIMESTAMP, ContextTokens and GeneratedTokens."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise TraceError(
            str(path), "there is no such file", "give the path of a CSV file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(
            str(path), f"cannot be read: {error}", "give a CSV file in UTF-8"
        ) from error
    if not rows:
        raise TraceError(str(path), "is empty", f"write the header {','.join(COLUMNS)}")
    at = _columns(path, rows[0])
    body = [(line, row) for line, row in enumerate(rows[1:], start=2) if row]
    if not body:
        raise TraceError(f"{path}:2", "has no requests", "write one request a line")
    arrival = np.array(
        [_seconds(path, line, _cell(path, line, row, at, TIMESTAMP)) for line, row in body]
    )
    context = [_count(path, line, row, at, CONTEXT, 1) for line, row in body]
    generated = [_count(path, line, row, at, GENERATED, 0) for line, row in body]
    order = np.argsort(arrival, kind="stable")
    return Trace(
        path.name,
        (arrival - arrival.min())[order],
        np.array(context, np.int32)[order],
        np.array(generated, np.int32)[order],
    )


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    at = {name.strip(): i for i, name in enumerate(header)}
    for name in COLUMNS:
        if name not in at:
            raise TraceError(
                f"{path}:1, column {name}",
                f"is missing; the header has {', '.join(at) or 'nothing'}",
                f"write the header {','.join(COLUMNS)}",
            )
    return at


def _cell(path: Path, line: int, row: list[str], at: dict[str, int], name: str) -> str:
    if at[name] >= len(row):
        raise TraceError(
            f"{path}:{line}, column {name}", f"is missing in a row of {len(row)}", "fill the row"
        )
    return row[at[name]].strip()


def _seconds(path: Path, line: int, text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        pass
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not np.isfinite(seconds):
        raise TraceError(
            f"{path}:{line}, column {TIMESTAMP}",
            f"{text!r} is no time",
            "write 2023-11-16 18:15:46.68 or seconds as a number",
        )
    return seconds


def _count(path: Path, line: int, row: list[str], at: dict[str, int], name: str, least: int) -> int:
    text = _cell(path, line, row, at, name)
    if not text.isascii() or not text.isdecimal() or not least <= int(text) < 1 << 31:
        raise TraceError(
            f"{path}:{line}, column {name}",
            f"{text!r} is no number of tokens",
            f"write an integer, at least {least}",
        )
    return int(text)
