"""metaplan codegen: a kernel file that needs torch and triton only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaplan import rendering
from metaplan.cli.arguments import DEFAULT_TARGET, Sizes, TargetName
from metaplan.cli.refusal import REFUSED


def codegen(
    plan: Annotated[
        str | None,
        typer.Argument(metavar="[PLAN]", help="The plan to render or to check; none: all of them."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The file to write, whole or not at all; '-' is stdout."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare kernels/ with what would be rendered now.")
    ] = False,
    target: TargetName = DEFAULT_TARGET,
    size: Sizes = None,
) -> None:
    """Write a plan's kernel with its launcher, to vendor; or check or renew kernels/.

    Without a plan, all shipped plans are rendered into kernels/, or compared with it.
    """
    if check:
        _check(plan)
    elif plan is None:
        for path in rendering.renew():
            typer.echo(f"wrote {path}")
    elif out is None or str(out) == "-":
        typer.echo(rendering.render(plan, size or (), target), nl=False)
    else:
        rendering.write(out, rendering.render(plan, size or (), target))
        typer.echo(f"wrote {out}")


def _check(plan: str | None) -> None:
    drifts = rendering.drifts(plan)
    for drift in drifts:
        typer.echo(drift, err=True)
    if drifts:
        typer.echo("kernels/ differs from its plans: run metaplan codegen, read the diff", err=True)
        raise typer.Exit(REFUSED)
    checked = (
        f"{len(rendering.names())} shipped plans render" if plan is None else f"{plan} renders"
    )
    typer.echo(f"kernels/ is what {checked} to")
