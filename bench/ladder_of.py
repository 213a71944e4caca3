# pyright: basic
"""bench/ladder's results as a table: a step of every rung, by model and batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Table = Callable[[list[str], list[list[str]]], str]


def equal(folder: Path) -> str:
    """In how many cases each rung made the naive loop's tokens."""
    checks = [json.loads(path.read_text()) for path in sorted(folder.glob("equal_ladder_*.json"))]
    if not checks:
        return "Not compared."
    commands = "\n".join(f"$ {check['machine']['command']}" for check in checks)
    first = checks[0]["check"]
    said = ", ".join(
        f"{rung} {count} of {check['check']['cases']}"
        for check in checks
        for rung, count in check["check"]["equal"].items()
    )
    return (
        f"Cases in which all tokens equal the naive loop's ({first['model']}, {first['dtype']}, B={first['batch']}; no row"
        f" ends, rows end at differing places, all end), each run twice:\n\n```console\n{commands}\n```\n\n{said}."
    )


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("ladder_*.json"))]


def block(folder: Path, table: Table) -> str:
    """Commands, then us a step and tokens a second; a rung for which no time was left has a dash."""
    runs = sorted(told(folder), key=lambda r: (r["model"], r["rows"][0]["batch"]))
    if not runs:
        return "Not measured."
    cells = {(r["model"], row["batch"], row["rung"]): row for r in runs for row in r["rows"]}
    columns = list(dict.fromkeys((model, batch) for model, batch, _ in cells))
    rungs = list(dict.fromkeys(rung for _, _, rung in cells))
    head = ["rung", *(f"{model}, B={batch}" for model, batch in columns)]
    rows = [[rung, *(_cell(cells.get((*at, rung))) for at in columns)] for rung in rungs]
    machine = runs[0]["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    commands = "\n".join(f"$ {run['machine']['command']}" for run in runs)
    return (
        f"{machine['device']['name']}; {versions}; {machine['date']}; {runs[0]['new']} new tokens behind"
        f" {runs[0]['prompt']}.\n\n```console\n{commands}\n```\n\nUs a step (tokens a second).\n\n"
        + table(head, rows)
        + f"\n\n{equal(folder)}"
    )


def _cell(row: dict[str, Any] | None) -> str:
    return f"{row['step_us']:,.0f} ({row['tokens_per_second']:,.0f})" if row else "-"
