"""Lines of a loop that are the same in every turn, in front of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from metaplan.program import If, Let, Loop, Stmt

_WORD = re.compile(r"[A-Za-z_]\w*")


def lifted(body: Iterable[Stmt], changing: Iterable[str]) -> tuple[list[Let], list[Stmt]]:
    """The lines of ``body`` that do not depend on ``changing`` or on what the body changes, and the others."""
    body = list(body)
    times = Counter(_assigned(body))
    moving = {*changing, *(name for name, count in times.items() if count > 1)}
    moving |= {name for stmt in body if not isinstance(stmt, Let) for name in _assigned([stmt])}
    same: list[Let] = []
    rest: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, Let) and moving.isdisjoint((stmt.name, *_WORD.findall(stmt.value))):
            same.append(stmt)
            continue
        if isinstance(stmt, Let):
            moving.add(stmt.name)
        rest.append(stmt)
    return same, rest


def _assigned(body: Iterable[Stmt]) -> Iterator[str]:
    for stmt in body:
        match stmt:
            case Let(name):
                yield name
            case Loop(name, _, _, _, inner):
                yield name
                yield from _assigned(inner)
            case If(_, inner):
                yield from _assigned(inner)
            case _:
                pass
