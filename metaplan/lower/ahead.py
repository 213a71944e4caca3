"""What a fold reads at its points without knowing what is carried: some places before it gets there.

A loop that waits for memory at each place costs the latency of a load a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from metaplan import ir
from metaplan.lower.places import Walk, as_tensor
from metaplan.lower.scans import Summing
from metaplan.program import Let, Stmt
from metaplan.text import ATOM

AHEAD = 4
"""Places between the one where a value is read and the one that needs it."""
_POINTWISE = ir.Const | ir.Load | ir.Bin | ir.Not | ir.Where | ir.Cast | ir.Choice | ir.Offset


@dataclass(slots=True)
class Ahead:
    """Lines in front of a loop, at the start of its body and at its end, that read ``AHEAD`` places early."""

    way: Walk
    before: list[Stmt]
    behind: list[Stmt]

    def take(self, e: ir.Load) -> None:
        """``e`` of each place waits under as many names as it is read places early."""
        inner, names = self.way.tile, self.way.tile.shared.names
        word = names.wish(e) or e.source.name
        name = names.fresh(word)
        waiting = [names.fresh(f"{word}_in_{n}") for n in range(AHEAD)]
        for n, held in enumerate(waiting):
            self.before.append(Let(held, self._there(str(n), e, self.before)))
        self.way.body.append(Let(name, waiting[0], names.note(e)))
        for held, later in pairwise(waiting):
            self.behind.append(Let(held, later))
        late = self._there(f"{self.way.place} + {AHEAD}", e, self.behind)
        self.behind.append(Let(waiting[-1], late))
        inner.memo[e] = name, ATOM

    def _there(self, place: str, e: ir.Load, block: list[Stmt]) -> str:
        """``e`` at another place, where such a point is."""
        above, own = self.way.tile.above, self.way.tile.levels[-1]
        assert isinstance(above, Summing)
        offset = place
        if self.way.zeros or _computed(e):
            offset = self.way.tile.shared.names.fresh(f"{own.axis.name}_ahead")
            tensor = f"{place} + {self.way.zeros}" if self.way.zeros else as_tensor(place)
            block.append(Let(offset, tensor))
        live = f"{offset} < {self.way.count}"
        there = above.below(replace(own, offset=offset, live=live, block=block))
        return there.load(e)


def _computed(e: ir.Load) -> bool:
    """Whether a number in the place of the point would not do: only a tensor is converted or inverted."""
    return any(isinstance(x, ir.Cast | ir.Not) for x in ir.walk(e))


def unhindered(inner: Summing, roots: Iterable[ir.Expr]) -> Iterator[ir.Load]:
    """What ``roots`` read at a place where they need nothing of what is carried there."""
    depth, seen = len(inner.levels), set[ir.Expr]()

    def free(e: ir.Expr) -> bool:
        if inner.depth(e) < depth:
            return True
        return isinstance(e, _POINTWISE) and all(map(free, ir.children(e)))

    def visit(e: ir.Expr) -> Iterator[ir.Load]:
        if e in seen or not isinstance(e, _POINTWISE) or inner.depth(e) < depth:
            return
        seen.add(e)
        if isinstance(e, ir.Load) and free(e):
            yield e
            return
        for c in ir.children(e):
            yield from visit(c)

    for root in roots:
        yield from visit(root)
