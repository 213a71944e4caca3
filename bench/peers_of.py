# pyright: basic
"""The JSON lines of bench/peers.py as one set of results, and as tables: the newest line of each cell stands."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Cell = tuple[str, int, int]
HEAD = ["B", "q", "launches", "copies", "waits", "CPU us", "from the host", "GPU us"]
COPIES = ("host_to_device", "device_to_host", "device_to_device", "memsets")
TIMES = (("cpu_us", "CPU time"), ("gpu_us", "GPU time"))


@dataclass(frozen=True, slots=True)
class PeerResults:
    """Rows by (peer, batch, query), and what machines they come from; both empty where nothing was measured."""

    rows: dict[Cell, Row]
    runs: tuple[Row, ...]

    @classmethod
    def read(cls, path: Path) -> PeerResults:
        text = path.read_text() if path.exists() else ""
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        rows = {(r["peer"], r["batch"], r["query"]): r for r in lines if r["kind"] == "peer"}
        told = {r["run"] for r in rows.values()}
        runs = tuple(r for r in lines if r["kind"] == "run" and r["run"] in told)
        return cls(rows, runs)

    def peers(self) -> list[str]:
        return list(dict.fromkeys(peer for peer, _, _ in self.rows))

    def of(self, peer: str) -> list[Row]:
        """The rows of one peer that were right on both sides, smallest batch first."""
        found = [r for key, r in sorted(self.rows.items()) if key[0] == peer]
        return [r for r in found if r.get("checked") and "error" not in r]

    def ratios(self, name: str) -> dict[Cell, float]:
        """Ours over theirs in every cell that has both."""
        return {key: r["ratio"][name] for key, r in self.rows.items() if name in r.get("ratio", {})}

    def wrong(self) -> Iterator[tuple[str, str]]:
        """(what, why) of every cell without a valid result."""
        for cell, row in self.rows.items():
            why = row.get("error") or "; ".join(row.get("wrong", ()))
            if why or not row.get("checked"):
                yield named(cell), why or "not compared"


def named(cell: Cell) -> str:
    return f"{cell[0]}, B={cell[1]}, q={cell[2]}"


def summary(results: PeerResults) -> str:
    """How ours stands to theirs over all cells, and every cell above 1.0."""
    lines: list[str] = []
    for name, what in TIMES:
        found = results.ratios(name)
        if not found:
            continue
        above = {cell: ratio for cell, ratio in found.items() if round(ratio, 2) > 1.0}
        worst = max(found, key=lambda cell: found[cell])
        said = f"- {what}, ours / theirs: median {statistics.median(found.values()):.2f}, "
        said += f"worst {found[worst]:.2f} ({named(worst)}); above 1.0 in {len(above)} of {len(found)} cells"
        lines.append(said + "".join(f"\n  - {named(c)}: {r:.2f}" for c, r in above.items()))
    return "\n".join(lines)


def table_rows(results: PeerResults, peer: str, number: Any) -> list[list[str]]:
    """A line for each cell of a peer: what the engine does -> what we do."""
    return [
        [
            f"{row['batch']}",
            f"{row['query']}",
            _counted(row, ("launches",)),
            _counted(row, COPIES),
            _counted(row, ("synchronizations",)),
            _timed(row, "cpu_us", number),
            number(row.get("ours", {}).get("cpu_us_host")),
            _timed(row, "gpu_us", number) + ("*" if row.get("gpu_by") == "events" else ""),
        ]
        for row in results.of(peer)
    ]


def counted(side: Row, names: tuple[str, ...]) -> float | None:
    """How many of these a call of one side makes; None where they were not counted."""
    return sum(side[n] for n in names) if all(n in side for n in names) else None


def _counted(row: Row, names: tuple[str, ...]) -> str:
    found = [counted(row.get(side, {}), names) for side in ("theirs", "ours")]
    return " -> ".join(f"{n:g}" for n in found if n is not None)


def _timed(row: Row, name: str, number: Any) -> str:
    found = [row.get(side, {}).get(name) for side in ("theirs", "ours")]
    if None in found:
        return ""
    return f"{number(found[0])} -> {number(found[1])} ({row['ratio'][name]:.2f})"
