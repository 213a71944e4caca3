"""The smallest number for which a condition holds: the range is halved as often as its width has bits."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator
from dataclasses import replace

from metaplan import ir
from metaplan.lower.emit import Text, joined
from metaplan.lower.lifting import lifted
from metaplan.lower.places import many, spread
from metaplan.lower.scans import Summing
from metaplan.passes.carried import substituted
from metaplan.program import If, Let, Loop, Stmt
from metaplan.text import ATOM

AT_HAND = 4096
"""Points that a search over the batch reads once, before its first turn, and keeps."""


def searched(tile: Summing, e: ir.Bisect) -> Text:
    """The name of ``e``: one number of the batch, or one for each point of its level."""
    own = tile.owner(tile.depth(e))
    assert isinstance(own, Summing)
    ranges, names = own.shared.ranges, own.shared.names
    width = ranges.of(e.hi).hi - ranges.of(e.lo).lo
    if width <= 0:
        return own.text(e.lo)
    found = names.fresh(names.wish(e) or "found")
    top, tried = names.fresh(f"{found}_top"), names.fresh(f"{found}_tried")
    cond = _closed(e)
    for known in _same(cond, e):
        own.text(known)
    out = own.block(len(own.levels))
    out.append(Let(found, spread(own, e.lo), names.note(e)))
    ordered = ranges.of(ir.Bin(ir.Op.SUB, e.hi, e.lo)).lo >= 0
    out.append(
        Let(top, spread(own, e.hi) if ordered else f"tl.maximum({found}, {own.plain(e.hi)})")
    )
    between = names.fresh(f"{found}_open") if many(own) else ""
    body: list[Stmt] = []
    inner = _inside(own, body, e, tried, between)
    inner.expect([cond])
    holds = inner.plain(cond)
    if not holds.isidentifier():
        named = Let(names.fresh("holds"), holds)
        body.append(named)
        holds = named.name
    same, rest = lifted(body, (found, top, tried, between))
    fits = width <= ir.dtype_of(e.lo).hi
    middle = f"({top} - {found}) // 2" if fits else f"(({found} ^ {top}) >> 1)"
    halved = Let(tried, f"{found} + {middle}" if fits else f"({found} & {top}) + {middle}")
    if between:
        turn = [Let(between, f"{found} < {top}"), halved, *rest]
        turn.append(Let(top, f"tl.where({between} & {holds}, {tried}, {top})"))
        turn.append(Let(found, f"tl.where({between} & ~{holds}, {tried} + 1, {found})"))
    else:
        turn = [halved, *rest, Let(top, f"tl.where({holds}, {tried}, {top})")]
        turn.append(Let(found, f"tl.where({holds}, {found}, {tried} + 1)"))
        turn = [If(f"{found} < {top}", tuple(turn))]
    out.extend(same)
    out.append(Loop(names.fresh("turn"), "0", str(width.bit_length()), "1", tuple(turn)))
    return found, ATOM


def _closed(e: ir.Bisect) -> ir.Expr:
    """The condition, in which the search itself stands for the number that is tried."""
    number = e.trial.number
    trials = (x for x in ir.walk(e.cond) if isinstance(x, ir.Trial) and x.number == number)
    return substituted(e.cond, dict.fromkeys(trials, e))


def _same(cond: ir.Expr, e: ir.Bisect) -> Iterator[ir.Expr]:
    """The largest parts of ``cond`` that are the same for every number that is tried."""
    around = {x for x in ir.walk(cond) if e in set(ir.walk(x))}

    def visit(x: ir.Expr, of_batch: bool) -> Iterator[ir.Expr]:
        if x not in around:
            if not of_batch or ir.axis_of(x) is None:
                yield x
        elif x != e and not isinstance(x, ir.Across):
            for c in ir.children(x):
                yield from visit(c, of_batch or isinstance(x, ir.Reduce))

    yield from visit(cond, False)


def _inside(own: Summing, body: list[Stmt], e: ir.Bisect, tried: str, between: str) -> Summing:
    """What a turn computes: nothing of it is known behind the loop."""
    known = {e: (tried, ATOM)}
    if not own.levels:
        scalars = ChainMap(known, own.shared.scalars)  # pyright: ignore
        wide = max(own.shared.scan_tile, AT_HAND)
        inner = Summing(replace(own.shared, scalars=scalars, scan_tile=wide), body)
        inner.prepare([_closed(e)])
        return inner
    depth = len(own.levels)
    level = replace(own.levels[-1], block=body, live=joined(own.live(depth), between))
    inner = Summing(
        own.shared,
        own.prelude,
        (*own.levels[:-1], level),
        column=own.column,
        memo=ChainMap(known, own.memo),  # pyright: ignore
        counts=own.counts,
    )
    inner.above, inner.block_at, inner.wanted = own.above, own.block_at, own.wanted
    return inner
