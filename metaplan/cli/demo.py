"""metaplan demo: a generated hour of traffic through the shipped plans, and one step as a picture."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from metaplan import demo as showing
from metaplan.cli.arguments import Device
from metaplan.cli.progress import tracked
from metaplan.cli.refusal import REFUSED
from metaplan.cli.tables import replayed
from metaplan.errors import MetaplanError
from metaplan.replay.report import report
from metaplan.replay.sides import side


def demo(
    steps: Annotated[int, typer.Option(min=1, help="How many steps to replay.")] = showing.STEPS,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Where the picture of one step goes.")
    ] = Path("step.png"),
    device: Device = None,
) -> None:
    """Replay a generated trace through all plans, compare every buffer, draw one step."""
    where = side(device)
    typer.echo(showing.introduction(steps, where.device))
    running = islice(showing.running(where), steps)
    result = report(showing.NAME, where.device, tracked(running, "replaying", steps))
    replayed(result)
    try:
        typer.echo(f"one step, drawn: {showing.picture(out)}")
    except MetaplanError as error:
        typer.echo(str(error), err=True)
    if result.mismatches:
        raise typer.Exit(REFUSED)
