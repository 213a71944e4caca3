"""A mistake of the user is text on stderr and exit code 2; only a bug of ours has a traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from metaplan.errors import MetaplanError
from metaplan.replay.trace import TraceError

REFUSED = 2
REFUSALS = (MetaplanError, TraceError)


class Commands(TyperGroup):
    """All commands, with the catalogue's errors printed as they are."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which they were added, not in the alphabet's."""
        return list(self.commands)

    def invoke(self, ctx: Any) -> Any:
        """Runs the chosen command."""
        try:
            return super().invoke(ctx)
        except REFUSALS as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(REFUSED) from None
