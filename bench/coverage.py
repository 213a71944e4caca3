# pyright: basic
"""Which functions of the engines the shipped plans replace: docs/coverage.md, from what was measured.

    TRITON_INTERPRET=1 PYTHONPATH=.engines/... python -m bench.coverage --measure [--peer NAME ...]
    python -m bench.coverage [--check]

``--measure`` runs the batches of tests/peers on the CPU and reads the engines' sources, into bench/results/coverage.json.
Launches and waits are those that bench.peers counted on a GPU, where it did; else those counted here on the CPU.
``--check`` needs neither engines nor a device: is the page what the results say, and has every shipped plan its row?
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers_of import PeerResults, Row

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
RESULTS = ROOT / "bench" / "results" / "coverage.json"
TIMES = RESULTS.with_name("peers.jsonl")
PREFERRED = ((256, 4), (1024, 4), (16, 4))
"""The cells (requests, query tokens) whose counts stand for a peer, the first that there is."""
WITHOUT_PEER = {
    "decode_slots": "the README's example",
    "engine_step": "vLLM's own kernels, in tests/peers/test_plans_are_the_engine.py",
    "post_update": "vLLM's own kernels, in tests/peers/test_plans_are_the_engine.py",
    "paged_decode": "loops, in tests/oracles: no one function of an engine computes all of it",
    "v4_decode": "loops, in tests/oracles: what ATOM computes for DeepSeek-V4",
    "decode_prepare": "a plain loop, in tests/loop",
    "decode_advance": "a plain loop, in tests/loop",
    "decode_commit": "a plain loop, in tests/loop",
    "decode_change": "a plain loop, in tests/loop",
    "decode_grow": "lists of pages, in tests/interp; the host's own pages, in tests/loop",
    "decode_shrink": "lists of pages, in tests/interp; the host's own pages, in tests/loop",
    "decode_enter": "loops, in tests/interp; the host's own pages, in tests/loop",
    "transformers_decode": "model.generate itself, in tests/adapters: no function computes it alone",
}
"""What a shipped plan that no peer runs beside is compared with instead."""
ENGINES = {"vllm": "vLLM 0.33.0", "sglang": "SGLang 0.5.23"}
HEAD = ("plan", "replaces", "launches", "copies", "waits", "lines", "equal batches")
INTRODUCTION = (
    "Made by `python -m bench.coverage`; `make lint` compares it with its results.",
    "What the shipped plans replace in {engines}. Each row is a function of an engine, or the chain of them that its"
    " builder calls, run unmodified beside a plan on the same batches: random ones, and those that have broken builders"
    " before. Equal means every cell that the engine defines, tails included, by the plan's meaning and by its kernel.",
    "Left of the arrow is the engine, right of it the plan. Launches, copies between host and device, and waits of the"
    " host are those of one call, {counted}. Where a plan takes arrays from the host, a launch of its own fetches them."
    " Lines are lines of code, without blanks, comments and docstrings: of the functions named, which may do more than"
    " fill buffers, and of the function that declares the plan with all that it calls.",
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Launches, copies and waits of a call, theirs and ours; None where nothing was counted."""

    launches: tuple[float | None, float]
    copies: tuple[float | None, float]
    waits: tuple[float | None, float]
    on_device: bool


# --------------------------------------------------------------------- the page


def counts(peer: str, row: Row, times: PeerResults) -> Counts:
    """From the GPU where there is a row of it, else from the CPU."""
    cells = {(r["batch"], r["query"]): r for r in times.of(peer) if "launches" in r["theirs"]}
    chosen = next((cells[c] for c in (*PREFERRED, *cells) if c in cells), None)
    if chosen is None:
        theirs = row["theirs"] or {}
        given = [theirs.get(name) for name in ("launches", "copies", "waits")]
        return Counts((given[0], row["launches"]), (given[1], 0), (given[2], 0), on_device=False)
    theirs, ours = chosen["theirs"], chosen["ours"]
    copied = [side["host_to_device"] + side["device_to_host"] for side in (theirs, ours)]
    return Counts(
        (theirs["launches"], ours["launches"]),
        (copied[0], copied[1]),
        (theirs["synchronizations"], ours["synchronizations"]),
        on_device=True,
    )


def page(measured: Row, times: PeerResults, shipped: Iterable[str]) -> str:
    """The whole of docs/coverage.md."""
    results: dict[str, Row] = measured.get("peers", {})
    found = {name: counts(name, row, times) for name, row in results.items()}
    known = [c.on_device for c in found.values()]
    counted = {
        (True, True): "counted on a GPU where there is no *, else on the CPU",
        (True, False): "counted on a GPU",
    }.get((any(known), not all(known)), "counted on the CPU")
    engines = " and ".join(ENGINES[e] for e in ENGINES if _of(results, e)) or "the engines"
    said = [text.format(engines=engines, counted=counted) for text in INTRODUCTION]
    parts = ["# Coverage\n", *(f"{textwrap.fill(text, 120)}\n" for text in said)]
    parts += [_ran([measured["machine"]] if results else [], times.runs[-1:] if any(known) else ())]
    parts += [f"{textwrap.fill(summary(results, found), 120)}\n"] if results else []
    mark = any(known)
    for engine in ENGINES:
        rows = [_line(name, row, found[name], mark) for name, row in _of(results, engine).items()]
        if rows:
            parts.append(f"## {ENGINES[engine]}\n\n{_table(HEAD, rows)}\n")
    without = [
        [f"`{plan}`", WITHOUT_PEER.get(plan, "nothing")]
        for plan in shipped
        if not _has_row(plan, results)
    ]
    if without:
        parts.append(f"## Without a peer\n\n{_table(('plan', 'compared with'), without)}\n")
    return "\n".join(parts)


def _ran(on_cpu: Sequence[Row], on_gpu: Sequence[Row]) -> str:
    """The commands, and the machines that they ran on."""
    lines: list[str] = []
    for run in (*on_cpu, *on_gpu):
        device = run["device"]["name"] if run["device"] else f"{run['processor']}, no GPU"
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        lines.append(f"$ {run['command']}    # {device}; {versions}; {run['date']}")
    return "\n".join(["```console", *lines, "```\n"]) if lines else "Nothing was measured.\n"


def summary(results: Mapping[str, Row], found: Mapping[str, Counts]) -> str:
    """All rows in one sentence."""
    there = {f"{row['engine']}/{f}": n for row in results.values() for f, n in row["there"].items()}
    here = {f: n for row in results.values() for f, n in row["here"].items()}
    equal, batches = (sum(row[n] for row in results.values()) for n in ("equal", "batches"))
    chains = [c.launches for c in found.values() if c.launches[0] is not None]
    launches = [sum(pair[side] or 0 for pair in chains) for side in (0, 1)]
    waits = [sum(c.waits[side] or 0 for c in found.values()) for side in (0, 1)]
    return (
        f"{len({row['plan'] for row in results.values()})} plans beside {len(there)} functions of"
        f" {len({f.partition(':')[0] for f in there})} files, in {len(results)} rows: launches"
        f" {launches[0]:g} -> {launches[1]:g}, waits {waits[0]:g} -> {waits[1]:g}, lines of code"
        f" {sum(n or 0 for n in there.values()):,} -> {sum(here.values()):,}, equal on {equal:,} of"
        f" {batches:,} batches."
    )


def _line(name: str, row: Row, found: Counts, mark: bool) -> list[str]:
    star = "*" if mark and not found.on_device else ""
    places: dict[str, list[str]] = {}
    for place in row["there"]:
        path, _, function = place.partition(":")
        places.setdefault(path, []).append(function)
    replaced = "<br>".join(
        f"`{path}`: {', '.join(f'`{f}`' for f in functions)}" for path, functions in places.items()
    )
    lines = None if None in row["there"].values() else sum(row["there"].values())
    return [
        f"`{row['plan']}`",
        f"{name}<br>{replaced}",
        _arrow(found.launches) + star,
        _arrow(found.copies) + star,
        _arrow(found.waits) + star,
        _arrow((lines, sum(row["here"].values()))),
        f"{row['equal']} of {row['batches']}" if row["batches"] else "on a GPU only",
    ]


def _arrow(pair: tuple[float | None, float]) -> str:
    return f"{'?' if pair[0] is None else format(pair[0], 'g')} -> {pair[1]:g}"


def _table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    marks = ["---" if n < 2 else "---:" for n in range(len(head))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [[*head], marks, *rows])


def _of(results: Mapping[str, Row], engine: str) -> dict[str, Row]:
    return {name: row for name, row in results.items() if row["engine"] == engine}


def _has_row(plan: str, results: Mapping[str, Row]) -> bool:
    return any(row["plan"] == plan for row in results.values())


def problems(results: Mapping[str, Row], shipped: Collection[str]) -> list[str]:
    """What the results lack or should not have, in words."""
    found = [
        f"{plan} has no row: add a peer to tests/peers/families and measure it, or say in WITHOUT_PEER why not"
        for plan in shipped
        if not _has_row(plan, results) and plan not in WITHOUT_PEER
    ]
    for name, row in results.items():
        if row["plan"] not in shipped:
            found.append(f"{name}: {row['plan']} is not a shipped plan")
        if row["equal"] != row["batches"]:
            found.append(f"{name}: equal on {row['equal']} of {row['batches']} batches")
        found += [f"{name}: there is no {place}" for place, n in row["there"].items() if n is None]
    return found


def read(path: Path = RESULTS) -> Row:
    return json.loads(path.read_text()) if path.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="on the CPU, beside the engines")
    parser.add_argument("--peer", nargs="+", metavar="NAME", help="with --measure: only these")
    parser.add_argument(
        "--check", action="store_true", help="fail where the page is not up to date"
    )
    asked = parser.parse_args()
    from metaplan.plans import shipped

    if asked.measure:
        from bench.counted import measure

        measure(asked.peer, RESULTS)
    results, plans = read(), shipped()
    text = page(results, PeerResults.read(TIMES), plans)
    wrong = problems(results.get("peers", {}), plans)
    if asked.check:
        if not PAGE.exists() or PAGE.read_text() != text:
            wrong.append(
                "docs/coverage.md is not what the results say: run python -m bench.coverage"
            )
    else:
        PAGE.write_text(text)
        print(f"wrote docs/coverage.md: {len(results.get('peers', {}))} rows")
    if wrong:
        raise SystemExit("\n".join(wrong))
    if asked.check:
        print(f"docs/coverage.md has every one of {len(plans)} shipped plans")


if __name__ == "__main__":
    main()
