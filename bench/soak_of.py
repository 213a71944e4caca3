# pyright: basic
"""bench/soak's results as a table: a row for each hour of traffic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEAD = [
    "trace", "on", "rows", "K", "lag", "pages with", "requests", "tokens", "steps", "other than a plain loop's",
    "bound above truth (may be)", "flags", "bytes early, late", "seconds",
]  # fmt: skip


def block(folder: Path, table: Callable[[list[str], list[list[str]]], str]) -> str:
    runs = [json.loads(path.read_text()) for path in sorted(folder.glob("soak_*.json"))]
    if not runs:
        return "Not measured."
    commands = "\n".join(f"$ {run['machine']['command']}" for run in runs)
    return f"```console\n{commands}\n```\n\n" + table(HEAD, [_row(run) for run in runs])


def _row(run: dict[str, Any]) -> list[str]:
    device = run["machine"]["device"]
    return [
        run["trace"].removesuffix(".csv"),
        device["name"] if device else "CPU",
        str(run["rows"]),
        str(run["drafts"]),
        str(run["lag"]),
        f"the {run.get('paging', 'host')}",
        f"{run['requests']:,} of {run['of']:,}",
        f"{run['tokens']:,}",
        f"{run['steps']:,}",
        str(run["wrong"]),
        f"{run['bound_above_truth_at_most']} ({run['bound_may_be']})",
        str(sum(run["flags"].values())),
        _memory(run),
        f"{run['seconds']:,.0f}",
    ]


def _memory(run: dict[str, Any]) -> str:
    early, late = run["memory_early"], run["memory_late"]
    held = "device_bytes" if "device_bytes" in early else "process_bytes"
    return f"{early[held]:,}, {late[held]:,}"
