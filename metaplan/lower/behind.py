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
                yield from _around(names, stmt)
            case _:
                yield stmt


def _around(names: Names, loop: Loop) -> Iterator[Stmt]:
    inner: list[Stmt] = []
    after: list[Stmt] = []
    for stmt in counted_behind(names, loop.body):
        if not isinstance(stmt, Count):
            inner.append(stmt)
            continue
        name = names.fresh("broken")
        yield Let(name, f"tl.full({stmt.shape}, 0, tl.int32)")
        mask = stmt.mask if stmt.mask.isidentifier() else f"({stmt.mask})"
        if stmt.beside:
            mask = f"({mask} & (({stmt.beside} | 1) != 0))"
        inner.append(Let(name, f"{name} + {mask}.to(tl.int32)", stmt.note))
        after.append(CountAll(stmt.pointer, f"tl.sum({name})" if stmt.shape != "()" else name))
    yield replace(loop, body=tuple(inner))
    yield from after


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
