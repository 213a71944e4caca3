"""A Tail as a region: the cells beyond the live points, some programs side by side."""

from __future__ import annotations

from metaplan import ir
from metaplan.copies import first_cell
from metaplan.lower import copies
from metaplan.lower.emit import Shared
from metaplan.lower.names import names as named
from metaplan.lower.partials import by_scan
from metaplan.lower.scans import Summing
from metaplan.program import Let, Loop, Region, Stmt, Store
from metaplan.ranges import Ranges
from metaplan.schedule import Schedule, Tail
from metaplan.writes import cells


def region(schedule: Schedule, tail: Tail, kernel: str) -> tuple[Region, tuple[str, ...]]:
    """The region that fills the tails of one axis's outputs."""
    plan = schedule.plan
    shared = Shared(plan, Ranges(), named(plan), schedule.scan_tile, by_scan(schedule))
    prelude: list[Stmt] = copies.chosen(shared, tail.copies, tail.programs)
    tile = Summing(shared, prelude)
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
        for o in outputs:
            assert isinstance(o.tail, ir.Fill)
            own = first_cell(o, cells(plan, o))
            place = "cell" if own is None else f"{tile.at(own, 6)} + cell"
            pointer = f"{shared.use(f'{o.name}_ptr')} + {place}"
            loop.append(Store(pointer, tile.plain(o.tail.value), f"cell < {stop}"))
        ahead = f"program * {tail.tile}"
        first = ahead if tail.whole else f"{start} + {ahead}"
        step = str(tail.programs * tail.tile)
        body.append(Loop("first", first, stop, step, tuple(loop)))
    names = ", ".join(o.name for o in tail.outputs)
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
            if isinstance(o.axis, ir.Dense) and o.axis.parent is not None:
                assert isinstance(o.axis.width, int)
                per_row *= o.axis.width
            rows = capacity // per_row - o.fences
            bounded = f"tl.minimum({tile.plain(o.tail.until)}, {rows})"
            scaled = bounded if per_row == 1 else f"{bounded} * {per_row}"
            stop = f"{scaled} + 1" if o.fences else scaled
        out.setdefault((start, stop), []).append(o)
    return out
