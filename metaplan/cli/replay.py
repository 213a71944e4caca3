"""metaplan replay: a request trace through the shipped plans, every buffer compared."""

from __future__ import annotations

import json as text
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from metaplan.cli.arguments import Device, Json
from metaplan.cli.progress import tracked
from metaplan.cli.refusal import REFUSED
from metaplan.cli.tables import replayed
from metaplan.replay import Settings, read
from metaplan.replay.report import report
from metaplan.replay.run import Replay
from metaplan.replay.sides import side


def replay(
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE.csv", help="Columns TIMESTAMP, ContextTokens, GeneratedTokens."
        ),
    ],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many steps; else at the trace's end.")
    ] = None,
    json: Json = False,
    device: Device = None,
    seed: Annotated[int, typer.Option(help="Of acceptance, verify lengths and page order.")] = 0,
) -> None:
    """Run a trace through a small continuous-batching scheduler and all plans, step by step.

    Every buffer of every step is compared with the oracle; exit code 2 if one differs.
    """
    read_trace, where = read(trace), side(device)
    running = islice(Replay(Settings(seed=seed), where).run(read_trace), steps)
    result = report(
        read_trace.name, where.device, tracked(running, f"replaying {read_trace.name}", steps)
    )
    if json:
        typer.echo(text.dumps(result.json(), indent=2))
    else:
        replayed(result)
    if result.mismatches:
        raise typer.Exit(REFUSED)
