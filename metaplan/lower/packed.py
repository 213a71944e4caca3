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
from metaplan.sums import normal
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
        if (wanted := base.root().wanted) is not None:
            wanted.asked.add(self.root)  # their total is read off the same points
        self.live = base.plain(ir.Size(self.last, loc=self.last.loc))
        capacity = base.shared.ranges.capacity(self.last)
        if work.stored and base.shared.ranges.points(self.last) > capacity:
            stored = base.shared.names.fresh(f"{self.last.name}_stored")
            base.prelude.append(Let(stored, f"tl.minimum({self.live}, {capacity})"))
            self.live = stored
        points = beside(base, self.root, (self.root,), bound, power(bound))
        self.count, self.end = (
            names.fresh(f"{self.last.name}_{word}") for word in ("count", "end")
        )
        length = points.plain(length_of(self.last))
        block.append(Let(self.count, f"tl.where({points.levels[-1].live}, {length}, 0)"))
        block.append(Let(self.end, f"tl.cumsum({self.count}, 0)"))
        length_sum = normal(ir.Scan(length_of(self.last), self.root))
        self.places: dict[ir.Scan, str] = {}
        self.counts: dict[ir.Scan, str] = {}
        for e in ir.near(*work.roots):
            if not isinstance(e, ir.Scan) or normal(e) == length_sum or e in self.counts:
                continue
            own = names.fresh(f"{names.wish(e) or self.root.name}_count")
            of = points.plain(normal(e).of)
            block.append(Let(own, f"tl.where({points.levels[-1].live}, {of}, 0)"))
            self.counts[e] = own

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
        for e, count in self.counts.items():
            self.places[e] = names.fresh(names.wish(e) or f"{self.root.name}_sum")
            earlier = f"tl.where({before}, {form.answers(count)}, 0)"
            out.append(Let(self.places[e], f"tl.sum({earlier}, {form.along})", names.note(e)))
        out.append(Let(place, f"{row} - {self.start}"))
        return [root, place, *below]

    def remember(self, tile: Summing) -> None:
        """What of the points of ``tile`` is known without a sum."""
        if tile.levels[-1].axis == self.root:
            tile.memo[ir.Scan(length_of(self.last), self.root)] = self.start, ATOM
            tile.memo.update({e: (name, ATOM) for e, name in self.places.items()})
        elif tile.levels[-1].axis == self.last:
            tile.memo[index(self.last)] = self.point, ATOM
