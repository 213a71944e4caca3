"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from metaplan.target import TARGETS

PlanName = Annotated[
    str,
    typer.Argument(
        metavar="PLAN",
        help="A shipped plan (metaplan list has them), path/file.py:name or module:name.",
    ),
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        metavar="AXIS=N",
        help="A capacity, such as req=1024, or req==1024 for exactly that many at every step; repeat for each axis. "
        "Shipped plans have sizes of their own.",
    ),
]
TargetName = Annotated[
    str, typer.Option("--target", help=f"What to compile for: {', '.join(TARGETS)}.")
]
Device = Annotated[
    str | None,
    typer.Option(help="cuda or cpu; cuda where there is a GPU if not given.", metavar="DEVICE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

DEFAULT_TARGET = "cuda:90"
