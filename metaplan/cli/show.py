"""metaplan show: one stage of a plan's compilation as text."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from metaplan import assembly, compiler, reference
from metaplan.cli.arguments import DEFAULT_TARGET, PlanName, Sizes, TargetName
from metaplan.target import target as named


class Stage(StrEnum):
    """The texts that a plan goes through, in order."""

    plan = "plan"
    program = "program"
    kernel = "kernel"
    ptx = "ptx"


def show(
    plan: PlanName,
    stage: Annotated[Stage, typer.Option(help="Which text to print.")] = Stage.kernel,
    target: TargetName = DEFAULT_TARGET,
    size: Sizes = None,
) -> None:
    """Print a plan as it was traced, scheduled, rendered or compiled."""
    chosen = reference.find(plan, size or ())
    if stage is Stage.plan:
        typer.echo(chosen.plan.text().rstrip())
        return
    built = compiler.build(chosen.plan.ir, chosen.sizes, named(target))
    match stage:
        case Stage.program:
            typer.echo(built.program_text.rstrip())
        case Stage.kernel:
            typer.echo(built.source.rstrip())
        case Stage.ptx:
            typer.echo(assembly.assembly(built).rstrip())
