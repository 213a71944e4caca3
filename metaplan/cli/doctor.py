"""metaplan doctor: versions, devices, cache, targets, and what would be used."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.text import Text

from metaplan import doctor as examination
from metaplan.cli.refusal import REFUSED


def doctor() -> None:
    """Say what this machine has and what metaplan would use on it."""
    console, topic, bad = Console(), "", 0
    for finding in examination.examine():
        if finding.topic != topic:
            topic = finding.topic
            console.print(Text(topic, style="bold"))
        mark = Text("  x " if finding.bad else "    ", style="red")
        console.print(mark + Text(f"{finding.name:<22}{finding.value}"), soft_wrap=True)
        bad += finding.bad
    if bad:
        typer.echo(f"{bad} of these keep metaplan from working here", err=True)
        raise typer.Exit(REFUSED)
