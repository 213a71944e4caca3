"""A sweep: the points that ask stand as rows, the points of the axis that is asked as columns, a tile at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from metaplan import ir
from metaplan.lower.emit import LOOKS, TRITON, Level, Text, Tile, joined
from metaplan.lower.passes_over import combined, coordinates, length_of, tight, zero
from metaplan.lower.scans import Summing
from metaplan.passes.lazy import conjuncts
from metaplan.passes.room import grid
from metaplan.passes.simplify import stored_at
from metaplan.program import Let, Loop, Stmt
from metaplan.ranges import Ranges
from metaplan.schedule import power
from metaplan.sums import frame, normal
from metaplan.tallies import Tally, tally
from metaplan.text import ATOM

_POINTS = 8192  # of all rows of a tile
_WARP = 32  # lanes of a warp, which one instruction sums up
_CARRIED = 4096  # the same where each lane carries what it has found from tile to tile


def swept(tile: Summing, e: ir.Across) -> Text:
    """The name of ``e`` on the level of the points that ask."""
    shared, depth = tile.shared, tile.depth(e)
    asker = tile.owner(depth)
    assert isinstance(asker, Summing)
    level = asker.levels[depth - 1] if depth else None
    rows = level.count if level is not None else 1
    axes = frame(e.over) if grid(e.over) else (e.over,)
    if (
        level is not None
        and level.shape == "lanes"
        and (counted := tally(e, shared.ranges)) is not None
    ):
        return _tallied(asker, e, axes, counted)
    bound = 1
    for axis in axes:
        bound *= shared.ranges.bound(axis) if grid(e.over) else shared.ranges.capacity(axis)
    least = _WARP if rows == 1 else 1
    wide = min(max(power(bound), least), max(_POINTS // rows, 16), 4 * shared.scan_tile)
    out = asker.block(depth)
    name = shared.names.fresh(shared.names.wish(e) or f"{e.over.name}_{e.op.value}")
    form = Form.of(asker, level)
    given = {g: _named(asker, g.of, form, rows) for g in ir.asked(e.of)}
    if bound <= wide:
        value = _Mixed(beside(asker, e.over, axes, bound, wide), given, form).masked(e)
        out.append(Let(name, f"tl.{e.op.value}({value}, {form.along})", shared.names.note(e)))
        return name, ATOM
    # Lane by lane inside the loop, across lanes once behind it.
    wide = min(wide, max(_CARRIED // rows, 16))
    first = shared.names.fresh(f"{e.over.name}_first")
    start, stop = _window(e, given, form, _live(asker, axes, bound), shared.ranges)
    if not stop.isidentifier():
        last = shared.names.fresh(f"{e.over.name}_stop")
        out.append(Let(last, stop))
        stop = last
    parts, dtype = shared.names.fresh(f"{name}_parts"), ir.dtype_of(e)
    shape = f"[{wide}]" if form.kind == "scalar" else f"[{rows}, {wide}]"
    out.append(Let(parts, f"tl.full({shape}, {e.op.identity(dtype)}, tl.{dtype.value})"))
    body: list[Stmt] = []
    points = Swept(asker, e.over, axes, body, out, first, stop, wide)
    value = _Mixed(points, given, form).masked(e)
    body.append(Let(parts, combined(e.op, parts, value)))
    body.extend(points.after)
    out.append(Loop(first, start, stop, str(wide), tuple(body)))
    out.append(Let(name, f"tl.{e.op.value}({parts}, {form.along})", shared.names.note(e)))
    return name, ATOM


def _tallied(asker: Summing, e: ir.Across, axes: tuple[ir.Axis, ...], counted: Tally) -> Text:
    """All lanes of a row at once, by a histogram of the keys of its block of points."""
    shared, level = asker.shared, asker.levels[-1]
    first, bound = asker.at(counted.first, 6), prod(shared.ranges.bound(a) for a in axes)
    live = _live(asker, axes, bound)
    points = Swept(asker, e.over, axes, level.block, level.block, first, live, counted.points)
    keys = shared.ranges.bound(level.axis)
    tests = [*counted.where]
    if not shared.ranges.of(counted.key).inside(0, keys - 1):
        quiet, key = e.loc.unnamed(), counted.key
        tests.append(ir.Bin(ir.Op.LE, ir.Const(0, loc=quiet), key, loc=quiet))
        tests.append(ir.Bin(ir.Op.LT, key, ir.Const(keys, loc=quiet), loc=quiet))
    mask = joined(points.levels[-1].live, *map(points.plain, tests))
    name = shared.names.fresh(shared.names.wish(e) or f"{e.over.name}_counts")
    made = f"tl.histogram({points.plain(counted.key)}, {level.count}, mask={mask})"
    level.block.append(Let(name, made, shared.names.note(e)))
    return name, ATOM


def _window(
    e: ir.Across, given: Mapping[ir.Given, tuple[str, bool]], form: Form, live: str, ranges: Ranges
) -> tuple[str, str]:
    """The places between which the points that count lie, for all that ask side by side."""

    def of_all(g: ir.Given, least: str) -> str:
        text, differs = given[g]
        return f"tl.{least}({text})" if differs and form.kind != "scalar" else text

    first, last = _limits(e, stored_at(e.over, ranges))
    start = "0"
    if first is not None and not any(isinstance(x, ir.Scan) for x in ir.walk(e.of)):
        start = of_all(first, "min")
        start = start if ranges.of(first.of).lo >= 0 else f"tl.maximum({start}, 0)"
    return start, live if last is None else f"tl.minimum({live}, {of_all(last, 'max')})"


def _limits(e: ir.Across, place: ir.Expr) -> tuple[ir.Given | None, ir.Given | None]:
    """From which place on and before which one points count, where what is asked says so."""
    first = last = None
    match e:
        case ir.Across(ir.Monoid.SUM, ir.Cast(test)):
            for c in conjuncts(test):
                match c:
                    case ir.Bin(ir.Op.LT, lhs, ir.Given() as end) if lhs == place:
                        last = last or end
                    case ir.Bin(ir.Op.LE, ir.Given() as begin, rhs) if rhs == place:
                        first = first or begin
                    case _:
                        pass
        case _:
            pass
    return first, last


def beside(
    asker: Summing, over: ir.Axis, axes: tuple[ir.Axis, ...], bound: int, wide: int
) -> Swept:
    """All points of ``over`` as one tile, the same for everything that asks them: read once, in front of it."""
    owner = asker.root()
    if over not in owner.sweeps:
        stop, block = _live(owner, axes, bound), owner.prelude
        owner.sweeps[over] = Swept(owner, over, axes, block, block, "", stop, wide)
    found = owner.sweeps[over]
    assert isinstance(found, Swept)
    return found


def total_beside(tile: Summing, e: ir.Reduce) -> dict[ir.Scan | ir.Reduce, str]:
    """A combination of plain values over the batch, from the tile that other points ask; empty where it holds no such."""
    bound = tile.shared.ranges.bound(e.over)
    plain = not ir.tried(e) and not any(isinstance(x, LOOKS) for x in ir.walk(e.of))
    one = grid(e.over) and ir.parent(e.over) is None and bound <= tile.shared.scan_tile
    if not (plain and one):
        return {}
    points, name = beside(tile, e.over, (e.over,), bound, power(bound)), tile.total_name(e)
    nothing = e.op.identity(ir.dtype_of(e.of))
    every = f"tl.where({points.levels[-1].live}, {points.typed(e.of)}, {nothing})"
    tile.prelude.append(Let(name, f"tl.{e.op.value}({every})"))
    return {e: name}


def _named(asker: Summing, e: ir.Expr, form: Form, rows: int) -> tuple[str, bool]:
    """What is asked with, as a name, and whether it differs between the points that ask."""
    text, differs = asker.plain(e), asker.depth(e) > 0
    # one number for all rows of the tile stands for each of them
    if differs and form.kind != "scalar" and not asker.shapes((e,)):
        text = f"tl.full({form.shape(rows)}, {text}, {TRITON[ir.dtype_of(e)]})"
    if differs and not text.isidentifier():
        text = asker.name(e, text)[0]
    return text, differs


def _live(asker: Summing, axes: tuple[ir.Axis, ...], bound: int) -> str:
    """How many points the sweep takes."""
    if len(axes) == 1 and grid(axes[0]):
        live = asker.root().plain(length_of(axes[0]))
    elif len(axes) == 1:
        live = f"tl.minimum({asker.root().plain(ir.Size(axes[0]))}, {bound})"
    else:
        inner = 1
        for axis in axes[1:]:
            inner *= asker.shared.ranges.bound(axis)
        live = f"{tight(asker.root().plain(length_of(axes[0])))} * {inner}"
    return live


@dataclass(frozen=True, slots=True)
class Form:
    """How the points that ask stand: alone, as a vector, or as a column."""

    kind: str

    @classmethod
    def of(cls, asker: Tile, level: Level | None) -> Form:
        if level is None or level.shape == "scalar":
            return cls("scalar")
        if level.shape == "column":
            return cls("column")
        assert not asker.column, "one row a program, where its lanes ask"
        return cls("vector")

    @property
    def along(self) -> str:
        return {"scalar": "0", "vector": "1", "column": "1, keep_dims=True"}[self.kind]

    def shape(self, rows: int) -> str:
        return f"[{rows}, 1]" if self.kind == "column" else f"[{rows}]"

    def asks(self, text: str) -> str:
        return f"{text}[:, None]" if self.kind == "vector" else text

    def answers(self, text: str) -> str:
        return text if self.kind == "scalar" else f"{text}[None, :]"


class Swept(Summing):
    """The points of the axis that is asked, as one vector."""

    def __init__(
        self,
        asker: Summing,
        over: ir.Axis,
        axes: tuple[ir.Axis, ...],
        body: list[Stmt],
        before: list[Stmt],
        first: str,
        stop: str,
        wide: int,
    ) -> None:
        shared = asker.shared
        self.first, self.stop = first, stop
        self.before_loop, self.after = before, list[Stmt]()
        flat = shared.names.fresh(f"{over.name}_each")
        span = f"tl.arange(0, {wide})"
        body.append(Let(flat, f"{first} + {span}" if first else span))
        live = shared.names.fresh(f"{over.name}_counted")
        body.append(Let(live, f"{flat} < {stop}"))
        widths = [shared.ranges.bound(a) for a in axes]
        names = coordinates(shared, body, axes, widths, flat)
        levels = [
            Level(frame(axis)[-1], name, live, body, "vector", wide)
            for axis, name in zip(axes, names, strict=True)
        ]
        super().__init__(shared, asker.root().prelude, levels)
        self.above = self.asker = asker.root()
        self.wanted = asker.root().wanted
        self.packed = not grid(over)
        self.memo[stored_at(over, shared.ranges)] = flat, ATOM

    def depth(self, e: ir.Expr) -> int:
        """Of points that are packed only where they are stored is known, however that is written."""
        return int(ir.axis_of(e) is not None) if self.packed else super().depth(e)

    def owner(self, depth: int) -> Tile:
        return self if depth else super().owner(depth)

    def shapes(self, exprs: Iterable[ir.Expr]) -> set[str]:
        return {"vector"} if any(map(self.depth, exprs)) else set()

    def text(self, e: ir.Expr) -> Text:
        """What is the same for all points is computed in front of them."""
        return super().text(e) if self.depth(e) else self.asker.text(e)

    def scan(self, e: ir.Expr, of: ir.Expr, over: ir.Axis) -> Text:
        """A running sum along the points that are swept: nothing lies before the first."""
        assert isinstance(e, ir.Scan)
        own = normal(e)
        names, level = self.shared.names, self.levels[-1]
        count = names.fresh(f"{over.name}_count")
        level.block.append(Let(count, f"tl.where({level.live}, {self.typed(own.of)}, 0)"))
        inside = f"tl.cumsum({count}, 0) - {count}"
        if self.first:
            carry = names.fresh(f"{over.name}_carry")
            dtype = ir.dtype_of(e)
            self.before_loop.append(Let(carry, zero(ir.Monoid.SUM, dtype)))
            self.after.append(Let(carry, f"{carry} + tl.sum({count}, 0)"))
            inside = f"{carry} + {inside}"
        name = names.fresh(names.wish(e) or f"{over.name}_before")
        level.block.append(Let(name, inside, names.note(e)))
        return name, ATOM


class _Mixed(Tile):
    """Values that depend on both: on the point that asks and on the point that is asked."""

    def __init__(self, points: Swept, given: dict[ir.Given, tuple[str, bool]], form: Form) -> None:
        super().__init__(points.shared, points.prelude, points.levels)
        self.points, self.given, self.form = points, given, form

    def masked(self, e: ir.Across) -> str:
        live = self.form.answers(self.points.levels[-1].live)
        return f"tl.where({live}, {self.typed(e.of)}, {e.op.identity(ir.dtype_of(e))})"

    def text(self, e: ir.Expr) -> Text:
        if isinstance(e, ir.Given):
            text, differs = self.given[e]
            return (self.form.asks(text) if differs else text), ATOM
        if ir.asked(e):
            return self.compute(e)
        text, level = self.points.text(e)
        if self.points.depth(e) == 0 or self.form.kind == "scalar":
            return text, level
        if not text.isidentifier():
            text = self.points.name(e, text)[0]
        return self.form.answers(text), ATOM

    def load(self, e: ir.Load) -> str:
        pointer = self.pointer(e.source, e.index)
        live = self.form.answers(self.points.levels[-1].live)
        mask = joined(live, self.plain(e.guard) if e.guard is not None else "")
        place = self.address(e.source, e.index) if e.index else "0"
        # as many pointers as the mask has places: both may differ where the index does not
        address = f"{pointer} + tl.where({mask}, {place}, 0)"
        return f"tl.load({address}, mask={mask}, other={e.other})"
