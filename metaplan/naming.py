"""The user's names: which variable a line of the plan assigns."""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache
from typing import TypeAlias

from metaplan.errors import Loc

WORDS = frozenset({"where", "until", "other", "over", "to", "name", "most", "loc"})

Span: TypeAlias = "tuple[int, int, int, int]"


@lru_cache(maxsize=64)
def _assignments(file: str, text: str) -> dict[Span, str]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    names: dict[Span, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            # dict(positions=...) names a value; where=, until= and the like do not
            case ast.keyword(arg=str(name), value=value) if name not in WORDS:
                pass
            case _:
                continue
        span = (value.lineno, value.end_lineno or 0, value.col_offset, value.end_col_offset or 0)
        names.setdefault(span, name)
    return names


def assigned_name(loc: Loc) -> str | None:
    """The variable that the expression at ``loc`` is assigned to; None if it is part of another."""
    lines = linecache.getlines(loc.file)
    found = _assignments(loc.file, "".join(lines))
    return found.get((loc.line, loc.end_line, loc.column, loc.end_column))
