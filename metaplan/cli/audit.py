"""metaplan audit: whether a script's steps wait for the GPU, where, and how idle it is."""

from __future__ import annotations

import json as text
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from metaplan import catalogue
from metaplan.auditing import chrome
from metaplan.auditing import script as scripts
from metaplan.auditing.device import need_gpu
from metaplan.auditing.finding import ALLOCATION, PAGEABLE, WAIT
from metaplan.auditing.marks import listening
from metaplan.auditing.record import Recorder
from metaplan.auditing.report import Report, report
from metaplan.auditing.trace import Trace
from metaplan.cli.arguments import Json
from metaplan.cli.tables import audited

FAILING = {"wait": WAIT, "pageable": PAGEABLE, "alloc": ALLOCATION}
FOUND = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """How to record."""

    arguments: tuple[str, ...]
    skip: int
    steps: int | None
    stacks: bool


def audit(
    script: Annotated[
        Path,
        typer.Argument(
            metavar="SCRIPT|TRACE",
            help="A script, which marks its steps with mp.audit_step(); or a trace that torch's "
            "profiler wrote (.json, .json.gz), which needs no GPU.",
        ),
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS", help="What the script is given.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="SCRIPT|TRACE", help="Another one, to compare with; same arguments."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the timeline of a few steps.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE.json.gz", help="Keep the script's trace.")
    ] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="wait,pageable,alloc", help="Exit with 1 where one is found.")
    ] = "",
    skip: Annotated[int, typer.Option(min=0, help="How many first steps to leave out.")] = 0,
    steps: Annotated[
        int | None, typer.Option(min=1, help="How many steps to record; all if not given.")
    ] = None,
    stacks: Annotated[
        bool, typer.Option("--stacks", help="Record Python's frames too: slower calls, more lines.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which call of a step waits for the GPU, from where and how long, and how idle the GPU is.

    Times are those of a run under the profiler. The script's own exit code passes through.
    """
    failing = kinds(fail_on)
    asked = Asked(tuple(arguments or ()), skip, steps, stacks)
    for path in (script, *([against] if against else [])):
        _need(path)
    other = [_in_a_process_of_its_own(against, asked)] if against else []
    traces = [_traced(script, asked, save, quiet=json), *other]
    # A script's recorder has skipped already.
    both = [
        (trace, report(trace, skip=skip if is_trace(path) else 0))
        for trace, path in zip(traces, (script, against), strict=False)
        if path is not None
    ]
    reports = [made for _, made in both]
    if json:
        told = [made.json() for made in reports]
        typer.echo(text.dumps(told[0] if not other else told, indent=2))
    else:
        audited(reports)
    if picture:
        from metaplan.picture.timeline import timeline

        timeline(both, picture)
        typer.echo(f"a few steps, drawn: {picture}", err=json)
    if found := failed(reports[0], failing):
        typer.echo(f"--fail-on: {', '.join(found)} found", err=True)
        raise typer.Exit(FOUND)


def kinds(words: str) -> tuple[str, ...]:
    """The kinds of findings that --fail-on names; raises CallError for another word."""
    named = [word.strip() for word in words.split(",") if word.strip()]
    for word in named:
        if word not in FAILING:
            raise catalogue.unknown_finding(word, FAILING)
    return tuple(FAILING[word] for word in named)


def failed(report: Report, kinds: Sequence[str]) -> list[str]:
    """Which of ``kinds`` it has."""
    return [kind for kind in kinds if any(one.kind == kind for one in report.findings)]


def is_trace(path: Path) -> bool:
    return path.name.endswith((".json", ".json.gz"))


def _need(path: Path) -> None:
    if is_trace(path):
        return
    scripts.need_script(path)
    need_gpu()


def _traced(path: Path, asked: Asked, save: Path | None, quiet: bool) -> Trace:
    if is_trace(path):
        return chrome.read(path)
    recorder = Recorder(skip=asked.skip, most=asked.steps, stacks=asked.stacks)
    # What the script prints must not stand in front of the JSON.
    shown = redirect_stdout(sys.stderr) if quiet else nullcontext()
    with recorder, listening(recorder.mark), shown:
        code = scripts.run(path, asked.arguments)
    if code:
        typer.echo(f"{path} ended with exit code {code}: no report", err=True)
        raise typer.Exit(code)
    if save:
        chrome.save(recorder.whole, save)
    return chrome.parse(recorder.whole["traceEvents"], path.name)


def _in_a_process_of_its_own(path: Path, asked: Asked) -> Trace:
    """So that neither script finds the other's memory, modules and compiled kernels."""
    if is_trace(path):
        return chrome.read(path)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / f"{path.name}.json"
        options = ["--skip", str(asked.skip), "--save", str(kept), "--json"]
        options += ["--steps", str(asked.steps)] if asked.steps else []
        options += ["--stacks"] if asked.stacks else []
        line = [sys.executable, "-m", "metaplan", "audit", str(path), *options]
        done = subprocess.run([*line, "--", *asked.arguments], stdout=subprocess.DEVNULL)
        if done.returncode:
            raise typer.Exit(done.returncode)
        return chrome.read(kept)
