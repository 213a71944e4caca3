"""metaplan explain: what was decided for a plan, and why."""

from __future__ import annotations

import json as text

import typer

from metaplan import compiler, reference
from metaplan.cli.arguments import DEFAULT_TARGET, Json, PlanName, Sizes, TargetName
from metaplan.target import target as named


def explain(
    plan: PlanName,
    json: Json = False,
    target: TargetName = DEFAULT_TARGET,
    size: Sizes = None,
) -> None:
    """Print launches, grid, tile and the bytes of each buffer, each with its reason."""
    chosen = reference.find(plan, size or ())
    built = compiler.build(chosen.plan.ir, chosen.sizes, named(target))
    typer.echo(text.dumps(built.explain_json(), indent=2) if json else built.explain().rstrip())
