"""Promises that are broken in a loop: each lane counts its own, and the flag hears of them behind the loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from metaplan import ir
from metaplan.lower.emit import Tile
from metaplan.lower.names import Names
from metaplan.program import Count, CountAll, If, Let, Loop, Stmt


def counted_behind(names: Names, body: Iterable[Stmt]) -> Iterator[Stmt]:
    """``body`` without counts inside loops: an atomic in every turn is a branch for each element of a tile."""
    for stmt in body:
        match stmt:
            case If():
                yield replace(stmt, body=tuple(counted_behind(names, stmt.body)))
            case Loop():
                counts: list[tuple[Let, CountAll]] = []
                inner = tuple(_inside(names, stmt.body, counts))
                yield from (nothing for nothing, _ in counts)
                yield replace(stmt, body=inner)
                yield from (count for _, count in counts)
            case _:
                yield stmt


def _inside(
    names: Names, body: Iterable[Stmt], counts: list[tuple[Let, CountAll]]
) -> Iterator[Stmt]:
    """What stands inside a loop; ``counts`` gets what stands in front of the outermost one, and behind it."""
    for stmt in body:
        match stmt:
            case If() | Loop():
                yield replace(stmt, body=tuple(_inside(names, stmt.body, counts)))
            case Count():
                name = names.fresh("broken")
                mask = stmt.mask if stmt.mask.isidentifier() else f"({stmt.mask})"
                if stmt.beside:
                    mask = f"({mask} & (({stmt.beside} | 1) != 0))"
                yield Let(name, f"{name} + {mask}.to(tl.int32)", stmt.note)
                every = f"tl.sum({name})" if stmt.shape != "()" else name
                nothing = Let(name, f"tl.full({stmt.shape}, 0, tl.int32)")
                counts.append((nothing, CountAll(stmt.pointer, every)))
            case _:
                yield stmt


def loaded(tile: Tile) -> str:
    """The last name that holds what every lane of ``tile`` has loaded; empty where none does."""
    every = (
        text
        for e, (text, _) in reversed([*tile.memo.items()])
        if isinstance(e, ir.Load) and tile.depth(e) == len(tile.levels) and text.isidentifier()
    )
    return next(every, "")


def helpers(body: Iterable[Stmt]) -> Iterator[str]:
    """The functions that count what ``body`` finds broken."""
    for stmt in body:
        match stmt:
            case Count():
                yield "count"
            case CountAll():
                yield "count_all"
            case If() | Loop():
                yield from helpers(stmt.body)
            case _:
                pass
