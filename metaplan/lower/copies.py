"""A region whose copies share their lines: which of them a program computes."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from metaplan import ir
from metaplan.lower.emit import Shared
from metaplan.program import Let, Region, Stmt
from metaplan.text import ATOM


def chosen(shared: Shared, copies: tuple[ir.Which, ...], programs: int) -> list[Stmt]:
    """Lines that take the copy from the number of a program, and leave its number in the copy."""
    lines: list[Stmt] = []
    for at, which in enumerate(copies):
        name = shared.names.fresh(which.name)
        below = programs * prod(w.count for w in copies[at + 1 :])
        number = "program" if below == 1 else f"program // {below}"
        lines.append(Let(name, f"{number} % {which.count}" if at else number))
        shared.scalars[which] = name, ATOM
    if copies:
        lines.append(Let("program", f"program % {programs}" if programs > 1 else "0"))
    return lines


def times(region: Region, copies: tuple[ir.Which, ...]) -> Region:
    """The region with programs for all copies."""
    count = prod(w.count for w in copies)
    if count == 1:
        return region
    each = " and ".join(w.name for w in copies)
    title = f"{region.title.rstrip('.')}, {region.programs} for each {each}."
    return replace(region, title=title, programs=region.programs * count)
