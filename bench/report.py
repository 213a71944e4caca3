# pyright: basic
"""From the results to docs/performance.md and its figures.

    python -m bench.report [--results bench/results/plans.jsonl] [--peers bench/results/peers.jsonl]
                           [--loops bench/results] [--check]

Only what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is written; every other line of the document
is a person's, and stays.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import (
    evidence,
    figures,
    ladder_of,
    loop_figures,
    loops_of,
    peers_of,
    soak_of,
    workloads,
)
from bench.loops_of import LoopResults
from bench.peers_of import PeerResults
from bench.results_of import Results
from bench.skeleton import SKELETON
from bench.targets import verdicts

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
DOCUMENT = ROOT / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- generated: ([a-z_ ]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SHOWN = (
    ("ours", "metaplan"),
    ("hand-fused", "by hand"),
    ("engine", "vLLM"),
    ("torch.compile, static", "compile, static"),
    ("torch.compile, as called", "compile, as called"),
    ("torch eager", "eager"),
)
CALLED = (
    ("ours", "cpu_us", "bound step"),
    ("ours from host", "cpu_us", "from host"),
    ("ours from host", "cpu_us_named", "from host, by name"),
    ("hand-fused", "cpu_us", "by hand"),
    ("engine", "cpu_us", "vLLM, launches"),
    ("engine", "cpu_us_from_host", "vLLM, from host"),
    ("torch.compile, static", "cpu_us", "compile, static"),
    ("torch.compile, as called", "cpu_us", "compile, as called"),
    ("torch eager", "cpu_us", "eager"),
    ("numpy + H2D", "cpu_us", "numpy + H2D"),
)
COUNTED = ("kernels", "host_to_device", "device_to_host", "synchronizations", "allocations")


def blocks(results: Results, peers: PeerResults, loops: LoopResults) -> dict[str, str]:
    """The text of every generated block by its name."""
    return {
        "machine": _machine(results),
        "targets": _targets(results),
        "gpu": _gpu(results),
        "cpu": _cpu(results),
        "peers": _peers(peers),
        "capacity": _capacity(results),
        "bandwidth": _bandwidth(results),
        "counts": _counts(results),
        "compile": _compile(results),
        **loops_of.blocks(loops, table, _ran),
        "ladder": ladder_of.block(RESULTS, table),
        "soak": soak_of.block(RESULTS, table),
        "traces": _traces(),
        "wrong": _wrong(results),
    }


def filled(text: str, results: Results, peers: PeerResults, loops: LoopResults) -> str:
    """``text`` with its generated blocks renewed; a block of an unknown name is refused."""
    made = blocks(results, peers, loops)

    def renew(match: re.Match[str]) -> str:
        start, name, _, stop = match.groups()
        if name not in made:
            raise SystemExit(f"no such block: {name}; there are {', '.join(made)}")
        return f"{start}{made[name].rstrip()}\n{stop}"

    return BLOCK.sub(renew, text)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A markdown table; the first column to the left, numbers to the right."""
    if not rows:
        return "Not measured."
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _machine(results: Results) -> str:
    if not results.runs:
        return "Not measured."
    text = _ran(results.runs) + "\n"
    if results.floor:
        floor = results.floor
        text += (
            f"\nNothing done at all costs {number(floor['driver_cpu_us'])} us of CPU through the driver, "
            f"{number(floor['replay_cpu_us'])} as a graph of one node, and {number(floor['gpu_us'])} us of GPU a node; "
            f"a pinned copy of 1 KB costs {number(floor['pinned_copy_cpu_us'])} us of CPU."
        )
    return text


def _ran(runs: Sequence[dict[str, Any]]) -> str:
    """The machine of the last run, and the commands of all."""
    commands = list(dict.fromkeys(run["command"] for run in runs))
    run = runs[-1]
    device = run["device"] or {"name": "no GPU", "cuda": None}
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    text = f"{device['name']}, {run['processor']}, {run['cores']} cores; Python {run['python']}, {versions}; {run['date']}.\n"
    return text + "\n```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```"


def _targets(results: Results) -> str:
    every = verdicts(results)
    said = {True: "yes", False: "**no**", None: ""}
    rows = [[v.target, v.limit, v.measured, said[v.met]] for v in every]
    lines = [
        "| | target | measured | met |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    for v in every:
        if v.missed:
            more = f", and {len(v.missed) - 12} more" if len(v.missed) > 12 else ""
            lines.append(f"\nMissed: {v.target}: {', '.join(v.missed[:12])}{more}.")
    return "\n".join(lines)


def _gpu(results: Results) -> str:
    parts: list[str] = []
    for variant in results.variants():
        shown = [
            (side, label)
            for side, label in SHOWN
            if any(results.value(c, side) for c in results.cells() if c[0] == variant)
        ]
        rows: list[list[str]] = []
        for cell in [c for c in results.cells() if c[0] == variant]:
            ours = results.value(cell, "ours")
            row = [f"{cell[1]}", f"{cell[2]}", number(ours)]
            for side, _ in shown[1:]:
                theirs = results.value(cell, side)
                share = f" ({ours / theirs:.2f})" if ours and theirs else ""
                row.append(f"{number(theirs)}{share}")
            rows.append(row)
        head = ["B", "q", *(label for _, label in shown)]
        parts.append(f"### {variant}\n\n{table(head, rows)}")
    note = "Microseconds; in brackets ours over theirs.\n\n"
    return note + "\n\n".join(parts) if parts else "Not measured."


def _cpu(results: Results) -> str:
    parts: list[str] = []
    for variant in results.variants():
        cells = [c for c in results.cells() if c[0] == variant]
        shown = [one for one in CALLED if any(results.value(c, one[0], one[1]) for c in cells)]
        rows = [
            [
                f"{c[1]}",
                f"{c[2]}",
                *(number(results.value(c, side, name)) for side, name, _ in shown),
            ]
            for c in cells
        ]
        parts.append(f"### {variant}\n\n{table(['B', 'q', *(s[2] for s in shown)], rows)}")
    note = "Microseconds of a call that does not wait. Recorded in an engine's graph, ours costs the CPU nothing.\n\n"
    return note + "\n\n".join(parts) if parts else "Not measured."


def _peers(results: PeerResults) -> str:
    if not results.rows:
        return "Not measured."
    parts = [_ran(results.runs), peers_of.summary(results)]
    for peer in results.peers():
        rows = peers_of.table_rows(results, peer, number)
        parts.append(f"### {peer}\n\n{table(peers_of.HEAD, rows)}")
    wrong = [f"- {what}: {why}" for what, why in results.wrong()]
    parts += ["Without a result:\n\n" + "\n".join(wrong)] if wrong else []
    return "\n\n".join(part for part in parts if part)


def _capacity(results: Results) -> str:
    rows: list[list[str]] = []
    for cell in results.cells():
        own, every = results.value(cell, "ours"), results.value(cell, "ours for all")
        mixed = results.value(cell, "ours for mixed")
        if own is not None and every is not None:
            rows.append(
                [f"{cell[0]}, B={cell[1]}, q={cell[2]}", number(own), number(every), number(mixed)]
            )
    head = [
        "",
        "compiled for the batch: GPU us",
        "one plan for all",
        "prompt chunks of 8192 tokens too",
    ]
    return table(head, rows)


def _bandwidth(results: Results) -> str:
    rows: list[list[str]] = []
    for cell in results.cells():
        written, took = results.value(cell, "ours", "written_bytes"), results.value(cell, "ours")
        if written and took and cell[1] >= 1024 and cell[2] == 4:
            name = f"{cell[0]}, B={cell[1]}, q={cell[2]}"
            rows.append([name, f"{written / 1e6:.1f}", number(took), f"{written / took / 1e6:.2f}"])
    return table(["", "MB written", "GPU us", "TB/s written"], rows)


def _counts(results: Results) -> str:
    rows = [
        [
            f"{key[0]}, B={key[1]}, q={key[2]}: {key[3]}",
            *(f"{row[name]:g}" for name in COUNTED),
        ]
        for key, row in results.counts.items()
        if row.get("checked")
    ]
    head = ["per call", "kernels", "copies to the device", "to the host", "waits", "allocations"]
    return table(head, rows)


def _compile(results: Results) -> str:
    rows = [
        [
            plan,
            *(f"{row[name]['compile_s']:.2f}" for name in ("cold", "warm")),
            f"{row['warm']['build_s']:.2f}",
        ]
        for plan, row in results.compiles.items()
        if "warm" in row
    ]
    return table(
        ["at 1024 requests x 8 query tokens", "cold s", "warm s", "of it, to the text s"], rows
    )


def _traces() -> str:
    run = "\n".join(f"$ {command}" for command in evidence.commands())
    return f"{table(evidence.HEAD, evidence.rows())}\n\n```console\n{run}\n```"


def _wrong(results: Results) -> str:
    lines = [f"- {what}: {why}" for what, why in results.wrong()]
    return "\n".join(lines) or "Every side that was run agreed with the oracle."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = ROOT / "bench" / "results" / "plans.jsonl"
    parser.add_argument("--results", type=Path, default=default)
    parser.add_argument("--peers", type=Path, default=default.with_name("peers.jsonl"))
    parser.add_argument("--loops", type=Path, default=default.parent, help="a folder")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    parser.add_argument(
        "--check", action="store_true", help="fail where the document is not up to date"
    )
    asked = parser.parse_args()
    results, peers = Results.read(asked.results), PeerResults.read(asked.peers)
    loops = LoopResults.read(asked.loops)
    before = asked.document.read_text() if asked.document.exists() else SKELETON
    after = filled(before, results, peers, loops)
    if asked.check:
        if not asked.document.exists() or after != before:
            raise SystemExit(
                f"{asked.document.name} is not what the results say: run python -m bench.report"
            )
        return
    asked.document.parent.mkdir(parents=True, exist_ok=True)
    asked.document.write_text(after)
    folder = asked.document.parent / "figures"
    drawn = [*figures.draw(results, folder), *loop_figures.draw(loops, folder)]
    print(
        f"{asked.document}; {', '.join(path.name for path in drawn)}; {len(workloads.PLANS)} plans"
    )


if __name__ == "__main__":
    main()
