"""A Tail as a region: the cells beyond the live points, some programs side by side."""

from __future__ import annotations

from metaplan import ir
from metaplan.copies import first_cell
from metaplan.lower import copies
from metaplan.lower.emit import Level, Shared, Text, Tile
from metaplan.lower.names import names as named
from metaplan.lower.partials import by_scan
from metaplan.lower.scans import Summing
from metaplan.program import Let, Loop, Region, Stmt, Store
from metaplan.ranges import Ranges
from metaplan.schedule import Schedule, Tail
from metaplan.text import ATOM
from metaplan.writes import cells


class Filling(Summing):
    """What the cells beyond the live points hold: one level, the cells that a loop fills."""

    def depth(self, e: ir.Expr) -> int:
        own = super().depth(e)
        return own if own or not self.levels else int(_of_cell(e))

    def compute(self, e: ir.Expr) -> Text:
        return (self.levels[-1].offset, ATOM) if isinstance(e, ir.Cell) else super().compute(e)


def _of_cell(e: ir.Expr) -> bool:
    """Whether ``e`` differs from cell to cell."""
    return any(isinstance(x, ir.Cell) for x in ir.walk(e))


def _filling(tile: Filling, outputs: list[ir.Output], loop: list[Stmt]) -> Tile:
    """The cells of a loop; those of one record lie side by side and are one point."""
    point, wide = "cell", max(len(outputs[0].columns), 1)
    if wide > 1 and any(isinstance(o.tail, ir.Fill) and _of_cell(o.tail.value) for o in outputs):
        point = tile.shared.names.fresh("point")
        loop.append(Let(point, f"cell // {wide}"))
    return tile.below(Level(ir.Root("cell"), point, "", loop))


def region(schedule: Schedule, tail: Tail, kernel: str) -> tuple[Region, tuple[str, ...]]:
    """The region that fills the tails of one axis's outputs."""
    plan = schedule.plan
    shared = Shared(plan, Ranges(), named(plan), schedule.scan_tile, by_scan(schedule))
    prelude: list[Stmt] = copies.chosen(shared, tail.copies, tail.programs)
    tile = Filling(shared, prelude)
    fills = [o.tail for o in tail.outputs if isinstance(o.tail, ir.Fill)]
    roots = [e for f in fills for e in (f.value, f.until) if e is not None]
    tile.expect(roots)
    axis = None if tail.whole else tail.axis
    tile.prepare([*roots, *([ir.Size(axis)] if axis is not None else [])])
    live = "0" if tail.whole else "1"
    if axis is not None:
        live = tile.plain(ir.Size(axis, loc=axis.loc))
    name = f"live_{axis.name}" if axis is not None else "live"
    if not live.isidentifier() and not tail.whole:
        prelude.append(Let(name, live))
        live = name
    body: list[Stmt] = []
    for (start, stop), outputs in _ranges(plan, tile, tail, live).items():
        if not stop.isdecimal():
            bound = shared.names.fresh("end")
            body.append(Let(bound, stop))
            stop = bound
        loop: list[Stmt] = [Let("cell", f"first + tl.arange(0, {tail.tile})")]
        filled = _filling(tile, outputs, loop)
        for o in outputs:
            assert isinstance(o.tail, ir.Fill)
            own = first_cell(o, cells(plan, o))
            place = "cell" if own is None else f"{tile.at(own, 6)} + cell"
            pointer = f"{shared.use(f'{o.name}_ptr')} + {place}"
            loop.append(Store(pointer, filled.plain(o.tail.value), f"cell < {stop}"))
        ahead = f"program * {tail.tile}"
        first = ahead if tail.whole else f"{start} + {ahead}"
        step = str(tail.programs * tail.tile)
        body.append(Loop("first", first, stop, step, tuple(loop)))
    names = ", ".join(dict.fromkeys(o.name for o in tail.outputs))
    what = "all cells" if tail.whole else "the tails"
    title = f"{what} of {names}: {tail.tile} cells at a time."
    made = Region(
        f"{kernel}_{tail.name}", title, tuple(shared.params), tail.programs, (*prelude, *body)
    )
    return copies.times(made, tail.copies), tuple(shared.helpers)


def _ranges(
    plan: ir.Plan, tile: Summing, tail: Tail, live: str
) -> dict[tuple[str, str], list[ir.Output]]:
    """From which cell to which each output is filled; those of one range share a loop."""
    out: dict[tuple[str, str], list[ir.Output]] = {}
    for o in tail.outputs:
        assert isinstance(o.tail, ir.Fill)
        wide = max(len(o.columns), 1)
        start = live if wide == 1 else f"{live} * {wide}"
        capacity = cells(plan, o)
        stop = str(capacity)
        if o.tail.until is not None:
            per_row = wide
            if isinstance(o.axis, ir.Dense) and o.axis.parent is not None and not o.fences:
                assert isinstance(o.axis.width, int)
                per_row *= o.axis.width
            rows = capacity // per_row - o.fences
            bounded = f"tl.minimum({tile.plain(o.tail.until)}, {rows})"
            scaled = bounded if per_row == 1 else f"{bounded} * {per_row}"
            stop = f"{scaled} + 1" if o.fences else scaled
        out.setdefault((start, stop), []).append(o)
    return out
