"""The application: its commands in the order of its help, and how it refuses."""

from __future__ import annotations

import typer

from metaplan.cli.audit import audit
from metaplan.cli.check import check
from metaplan.cli.codegen import codegen
from metaplan.cli.demo import demo
from metaplan.cli.doctor import doctor
from metaplan.cli.explain import explain
from metaplan.cli.listing import listing
from metaplan.cli.refusal import Commands
from metaplan.cli.replay import replay
from metaplan.cli.show import show

app = typer.Typer(
    name="metaplan",
    cls=Commands,
    help="Declare a decode step's metadata once; get one Triton kernel, CUDA-graph safe.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command("list")(listing)
app.command()(show)
app.command()(explain)
app.command()(codegen)
app.command()(check)
app.command()(replay)
app.command()(audit)
app.command()(doctor)


def main() -> None:
    """The script ``metaplan``."""
    app()
