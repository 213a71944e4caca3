"""metaplan check: a plan against its own meaning on random batches, and on all targets."""

from __future__ import annotations

from typing import Annotated

import typer

from metaplan import reference
from metaplan.cli.arguments import PlanName, Sizes
from metaplan.cli.progress import tracked
from metaplan.cli.refusal import REFUSED


def check(
    plan: PlanName,
    batches: Annotated[int, typer.Option(min=1, help="How many random batches.")] = 10,
    seed: Annotated[int, typer.Option(help="The first batch's seed.")] = 0,
    size: Sizes = None,
) -> None:
    """Compare a plan's kernel with its NumPy meaning, and compile it for every target."""
    from metaplan import checking

    sizes = reference.capacities(size or ())
    running = checking.check(plan, sizes, batches=batches, seed=seed)
    results = list(tracked(running, f"checking {plan}", checking.count(batches)))
    failed = [result for result in results if not result.passed]
    for result in failed:
        typer.echo(f"{result.name}: {result.message}", err=True)
    typer.echo(f"{plan}: {len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(REFUSED)
