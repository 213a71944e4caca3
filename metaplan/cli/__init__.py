"""The command line: each command is a thin file, and every refusal prints as text, exit code 2."""

from metaplan.cli.app import app, main

__all__ = ["app", "main"]
