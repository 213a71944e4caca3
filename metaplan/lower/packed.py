"""Live points one behind the other: each looks up the row that it belongs to, and its place there."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from metaplan import ir
from metaplan.lower.passes_over import length_of
from metaplan.lower.scans import Summing
from metaplan.lower.sweeps import Form, beside
from metaplan.passes.place import index
from metaplan.program import Let, Stmt
from metaplan.text import ATOM
from metaplan.works import Work, power


class Packed:
    """The rows of one work: those of a ragged axis under a root, or of dense axes below it."""

    def __init__(self, base: Summing, work: Work) -> None:
        self.base, (self.root, self.last, *self.inner) = base, work.rows
        self.form = Form(
            "column" if work.column else "vector" if work.rows_per_program > 1 else "scalar"
        )
        bound = base.shared.ranges.bound(self.root)
        names, block = base.shared.names, base.prelude
        self.live = base.plain(ir.Size(self.last, loc=self.last.loc))
        points = beside(base, self.root, (self.root,), bound, power(bound))
        self.count, self.end = (
            names.fresh(f"{self.last.name}_{word}") for word in ("count", "end")
        )
        length = points.plain(length_of(self.last))
        block.append(Let(self.count, f"tl.where({points.levels[-1].live}, {length}, 0)"))
        block.append(Let(self.end, f"tl.cumsum({self.count}, 0)"))

    @property
    def room(self) -> int:
        """How many rows there can be."""
        return self.base.shared.ranges.capacity(self.last) * self._wide(self.inner)

    @property
    def rows(self) -> str:
        """How many rows are live."""
        wide = self._wide(self.inner)
        return self.live if wide == 1 else f"{self.live} * {wide}"

    def _wide(self, axes: Sequence[ir.Axis]) -> int:
        return prod(self.base.shared.ranges.bound(a) for a in axes)

    def coordinates(self, out: list[Stmt], row: str) -> list[str]:
        """The place on each axis of the packed row ``row``."""
        names, form = self.base.shared.names, self.form
        below: list[str] = []
        for at, axis in enumerate(self.inner):
            wide, own = self._wide(self.inner[at + 1 :]), self._wide([axis])
            below.append(names.fresh(f"{axis.name}_offset"))
            out.append(
                Let(below[-1], f"{row} % {own}" if wide == 1 else f"{row} // {wide} % {own}")
            )
        self.point = row
        if self.inner:
            self.point = names.fresh(f"{self.last.name}_index")
            out.append(Let(self.point, f"{row} // {self._wide(self.inner)}"))
            row = self.point
        before = names.fresh(f"{self.last.name}_before")
        out.append(Let(before, f"{form.answers(self.end)} <= {form.asks(row)}"))
        root, self.start, place = (
            names.fresh(n)
            for n in (self.root.name, f"{self.last.name}_start", f"{self.last.name}_offset")
        )
        out.append(Let(root, f"tl.sum({before}.to(tl.int32), {form.along})"))
        earlier = f"tl.where({before}, {form.answers(self.count)}, 0)"
        out.append(Let(self.start, f"tl.sum({earlier}, {form.along})"))
        out.append(Let(place, f"{row} - {self.start}"))
        return [root, place, *below]

    def remember(self, tile: Summing) -> None:
        """What of the points of ``tile`` is known without a sum."""
        if tile.levels[-1].axis == self.root:
            tile.memo[ir.Scan(length_of(self.last), self.root)] = self.start, ATOM
        elif tile.levels[-1].axis == self.last:
            tile.memo[index(self.last)] = self.point, ATOM
