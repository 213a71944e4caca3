"""metaplan list: the shipped plans, each with what it fills and the capacities that it is rendered for."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import typer

from metaplan import reference
from metaplan.plans import Shipped


def listing(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Only plans that mention all of these words."),
    ] = None,
) -> None:
    """List the shipped plans: name, what each fills, capacities of its committed kernel."""
    chosen = reference.mentioning(words or ())
    width = max(len(one.name) for one in chosen) + 2
    for family, plans in groupby(chosen, key=lambda one: one.family):
        typer.secho(family, bold=True)
        for one in plans:
            _line(one, width)


def _line(one: Shipped, width: int) -> None:
    sizes = " ".join(reference.spelled(one.sizes))
    told = [text for text in (one.about, sizes) if text]
    for name, text in zip([one.name, *[""] * len(told)], told or [""], strict=False):
        typer.echo(f"  {name:<{width}}{text}".rstrip())
