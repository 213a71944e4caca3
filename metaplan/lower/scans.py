"""Running sums: every program sums what lies before its own rows, then adds up inside its tile."""

from __future__ import annotations

from dataclasses import dataclass, field

from metaplan import ir
from metaplan.ir import DType, Monoid
from metaplan.lower.emit import Level, Shared, Text, Tile, joined
from metaplan.program import If, Let, Loop, Remark, Stmt
from metaplan.schedule import frame, power, same_lanes
from metaplan.text import ATOM

_MANY = 4096  # widest row that a reduction takes in one tile


@dataclass(slots=True)
class Block:
    """Where the rows of a tile begin: ``first`` is the flattened index of the first one."""

    first: str
    rows: int
    widths: tuple[int, ...]
    offsets: tuple[str, ...] = ()
    has_lanes: bool = False
    carried: bool = False


def member(axis: ir.Axis, of: ir.Expr, empty: int) -> tuple[ir.Axis, ir.Expr]:
    """A sum over an axis with at most one point a row, as one over the axis that it selects from."""
    while isinstance(axis, ir.Ragged) and axis.most == 1:
        zero = ir.Const(empty, ir.dtype_of(of), loc=axis.loc)
        some = ir.Bin(ir.Op.LT, ir.Const(0, loc=axis.loc), axis.length, loc=axis.loc)
        one = isinstance(of, ir.Const) and of.value == 1 and empty == 0
        of = axis.length if one else ir.Where(some, of, zero, loc=axis.loc)
        axis = axis.parent
    return axis, of


def identity(op: Monoid, dtype: DType) -> int:
    return {Monoid.SUM: 0, Monoid.MAX: dtype.lo, Monoid.MIN: dtype.hi}[op]


def combined(op: Monoid, a: str, b: str) -> str:
    return f"{a} + {b}" if op is Monoid.SUM else f"tl.{op.value}imum({a}, {b})"


def _zero(op: Monoid, dtype: DType) -> str:
    start = identity(op, dtype)
    return str(start) if dtype is DType.I32 else f"tl.full((), {start}, tl.int64)"


class Summing(Tile):
    """A tile that can also sum: over the points before it, over a row, over the whole batch."""

    block_at: Block | None = None

    def below(self, level: Level, *, column: bool | None = None) -> Summing:
        tile = super().below(level, column=column)
        assert isinstance(tile, Summing)
        tile.block_at = self.block_at
        return tile

    # ------------------------------------------------------------- scans

    def scan(self, e: ir.Expr, of: ir.Expr, over: ir.Axis) -> Text:
        over, of = member(over, of, 0)
        at = self.depth(ir.Offset(over)) if frame(over) else 0
        assert self.block_at is not None, "a running sum inside a running sum"
        tile = self.owner(at)
        if len(tile.levels) == at and tile.block_at is not None and tile.block_at.has_lanes:
            made = tile.scan_lanes(of, over)
        else:
            made = tile.scan_rows(of, over, at - 1)
        wish = self.shared.names.wish(e) or f"{over.name}_before"
        name = self.shared.names.fresh(wish)
        tile.block(at).append(Let(name, made, self.shared.names.note(e)))
        return name, ATOM

    def scan_rows(self, of: ir.Expr, over: ir.Axis, position: int) -> str:
        """The sum before each row of the tile, for an axis that its rows run along."""
        block = self.block_at
        assert block is not None
        inner = 1
        for width in block.widths[position + 1 :]:
            inner *= width
        first = block.first if inner == 1 else f"{_tight(block.first)} // {inner}"
        before = self.before(of, over, first)
        if block.rows == 1 or inner % block.rows == 0:
            return before
        # A row's own count is added where its last point is, so that only whole rows lie before.
        depth = position + 1
        value, mask = self.at(of, 0), self.live(depth)
        last = zip(block.offsets[depth:], block.widths[depth:], strict=True)
        mask = joined(mask, *(f"{offset} == {width - 1}" for offset, width in last))
        own = self.shared.names.fresh(f"{over.name}_count")
        counted = f"tl.where({mask}, {value}, 0)" if mask else value
        self.levels[-1].block.append(Let(own, counted))
        return f"{before} + tl.cumsum({own}, 0) - {own}"

    def scan_lanes(self, of: ir.Expr, over: ir.Axis) -> str:
        """The sum before each point of the tile, for the axis that its lanes run along."""
        block, lanes = self.block_at, self.levels[-1].block
        assert block is not None
        names = self.shared.names
        own = names.fresh(f"{over.name}_count")
        value, mask = self.plain(of), self.live(len(self.levels))
        lanes.append(Let(own, f"tl.where({mask}, {value}, 0)" if mask else value))
        first = block.first if len(self.levels) == 1 else f"{_tight(block.first)} * {block.widths[-1]}"
        before = self.before(of, over, first)
        axis = 1 if self.column else 0
        inside = f"tl.cumsum({own}, {axis}) - {own}"
        if not self.column or block.rows == 1:
            if block.carried:
                carry = names.fresh(f"{over.name}_carry")
                self.levels[-2].block.append(Let(carry, before))
                self.after.append(Let(carry, f"{carry} + tl.sum({own}, {axis})"))
                return f"{carry} + {inside}"
            return f"{before} + {inside}"
        row = names.fresh(f"{over.name}_row")
        lanes.append(Let(row, f"tl.sum({own}, 1, keep_dims=True)"))
        return f"{before} + tl.cumsum({row}, 0) - {row} + {inside}"

    @property
    def after(self) -> list[Stmt]:
        raise AssertionError("a carried sum needs a loop")

    def before(self, of: ir.Expr, over: ir.Axis, first: str) -> str:
        """The sum of ``of`` over all points of ``over`` whose flattened index is below ``first``."""
        key = ir.Scan(of, over)
        base = self.root()
        if key not in base.sums:
            pending = [s for s in base.wanted if same_over(s, over) and s not in base.sums]
            group = list(dict.fromkeys([key, *pending]))
            for scan, name in zip(group, self._sum_before(group, over, first), strict=True):
                base.sums[scan] = name
        return base.sums[key]

    def root(self) -> Summing:
        tile: Tile = self
        while tile.above is not None:
            tile = tile.above
        assert isinstance(tile, Summing)
        return tile

    def prepare(self, roots: list[ir.Expr]) -> None:
        """Remembers the running sums that ``roots`` need, so that one pass serves those of an axis."""
        self.wanted: list[ir.Scan] = []
        self.sums: dict[ir.Scan, str] = {}
        for e in ir.walk(*roots):
            if isinstance(e, ir.Scan):
                over, of = member(e.over, e.of, 0)
                self.wanted.append(ir.Scan(of, over))

    def _sum_before(self, group: list[ir.Scan], over: ir.Axis, first: str) -> list[str]:
        names = [self.shared.names.fresh(_before_name(s, over, self.shared)) for s in group]
        out = self.levels[0].block
        pass_over(self.shared, self.prelude, out, over, [s.of for s in group], names, first)
        return names

    # -------------------------------------------------------- reductions

    def reduce(self, e: ir.Reduce) -> Text:
        over, of = member(e.over, e.of, identity(e.op, ir.dtype_of(e.of)))
        names = self.shared.names
        if e.to is None:
            name = names.fresh(names.wish(e) or f"{over.name}_total")
            pass_over(self.shared, self.prelude, self.prelude, over, [of], [name], None, e.op)
            return name, ATOM
        at = self.depth(e)
        tile = self.owner(at)
        assert isinstance(tile, Summing)
        if same_axis(over, e.to):
            return tile.text(of)
        return tile.reduce_row(e, of, over, at), ATOM

    def reduce_row(self, e: ir.Reduce, of: ir.Expr, over: ir.Axis, at: int) -> str:
        """``of`` combined over the points of ``over`` under each row of this tile."""
        names, ranges = self.shared.names, self.shared.ranges
        bound = ranges.bound(over)
        name = names.fresh(names.wish(e) or f"{over.name}_{e.op.value}")
        out = self.block(at)
        start = identity(e.op, ir.dtype_of(of))
        offset = names.fresh(f"{over.name}_offset")
        lanes = f"tl.arange(0, {min(power(bound), _MANY)})" + ("[None, :]" if self.column else "")
        body: list[Stmt] = out if bound <= _MANY else []
        if bound > _MANY:
            step = names.fresh(f"{over.name}_first")
            lanes = f"{step} + {lanes}"
        body.append(Let(offset, lanes))
        length = ir.Const(bound) if isinstance(over, ir.Dense) else length_of(over)
        live = f"{offset} < {self.at(length, 2)}"
        inner = self.below(Level(over, offset, live, body))
        inner.block_at = None
        inner.expect([of])
        mask = inner.live(len(inner.levels))
        value = f"tl.where({mask}, {inner.plain(of)}, {start})"
        axis = "1, keep_dims=True" if self.column else "0"
        total = f"tl.{e.op.value}({value}, {axis})"
        if bound <= _MANY:
            out.append(Let(name, total, names.note(e)))
            return name
        rows = f"tl.zeros([{self.block_at.rows if self.block_at else 1}, 1], tl.int32)"
        out.append(Let(name, f"{rows} + {start}" if self.column else _zero(e.op, ir.dtype_of(of))))
        body.append(Let(name, combined(e.op, name, total)))
        out.append(Loop(step, "0", str(bound), str(_MANY), tuple(body)))
        return name


def length_of(axis: ir.Axis) -> ir.Expr:
    match axis:
        case ir.Ragged(_, _, length) | ir.Part(_, _, _, length):
            return length
        case ir.Dense(_, _, int(width)):
            return ir.Const(width)
        case _:
            return ir.Size(axis)


def same_axis(a: ir.Axis, b: ir.Axis | None) -> bool:
    return b is not None and frame(a) == frame(b)


def same_over(scan: ir.Scan, over: ir.Axis) -> bool:
    return same_lanes(scan.over, over)


def _tight(text: str) -> str:
    return text if text.isidentifier() else f"({text})"


def _before_name(scan: ir.Scan, over: ir.Axis, shared: Shared) -> str:
    wish = shared.names.hints.get(scan)
    return f"{wish}_before" if wish else f"{over.name}_before"


def pass_over(
    shared: Shared,
    prelude: list[Stmt],
    out: list[Stmt],
    over: ir.Axis,
    values: list[ir.Expr],
    names: list[str],
    first: str | None,
    op: Monoid = Monoid.SUM,
) -> None:
    """Lines that combine each value over the points of ``over`` before ``first``, or over all.

    One tile of rows x lanes at a time; one time only where all rows fit a tile.
    """
    ranges, fresh = shared.ranges, shared.names.fresh
    axes = frame(over)
    nested = any(isinstance(e, ir.Reduce) and same_axis(over, e.to) for e in ir.walk(*values))
    rows, lane = (axes, None) if nested or len(axes) == 1 else (axes[:-1], axes[-1])
    widths = [ranges.bound(a) for a in rows]
    wide = ranges.bound(lane) if lane is not None else 1
    points = 1
    for width in widths:
        points *= width
    deep = 1
    if nested:
        deep = max(power(ranges.bound(e.over)) for e in ir.walk(*values) if isinstance(e, ir.Reduce))
    height = min(power(points), max(shared.scan_tile // max(power(wide), deep), 1))
    column = lane is not None or nested
    inner = 1
    for width in widths[1:]:
        inner *= width
    live = Summing(shared, prelude).plain(ir.Size(axes[0]))
    if first is None:
        stop = live if inner == 1 else f"{live} * {inner}"
    else:
        stop = first if wide == 1 else f"tl.cdiv({first}, {wide})"
    looped = points > height
    body: list[Stmt] = []
    base = fresh("above") if looped else ""
    span = f"tl.arange(0, {height})" + ("[:, None]" if column else "")
    flat = fresh("every")
    body.append(Let(flat, f"{base} + {span}" if looped else span))
    tile, flat_name = _rows(shared, prelude, body, rows, widths, flat, column, first, wide)
    if lane is not None:
        offset = fresh(f"{lane.name}_each")
        body.append(Let(offset, f"tl.arange(0, {power(wide)})[None, :]"))
        limit = tile.at(length_of(lane), 2)
        alive = f"{offset} < {limit}"
        if first is not None:
            alive = joined(alive, f"{flat_name} * {wide} + {offset} < {_tight(first)}")
        tile = tile.below(Level(lane, offset, alive, body))
    tile.expect(values)
    mask = tile.live(len(tile.levels))
    for name, value in zip(names, values, strict=True):
        dtype = ir.dtype_of(value)
        lanes = f"tl.where({mask}, {tile.plain(value)}, {identity(op, dtype)})"
        total = f"tl.{op.value}({lanes})"
        if looped:
            out.append(Let(name, _zero(op, dtype)))
            total = combined(op, name, total)
        body.append(Let(name, total))
    if looped:
        out.append(Loop(base, "0", stop, str(height), tuple(body)))
    else:
        out.extend(body)


def _rows(
    shared: Shared,
    prelude: list[Stmt],
    body: list[Stmt],
    rows: tuple[ir.Axis, ...],
    widths: list[int],
    flat: str,
    column: bool,
    first: str | None,
    wide: int,
) -> tuple[Summing, str]:
    """The row levels of a pass: coordinates by division, live where every axis above is."""
    limit = size = Summing(shared, prelude).plain(ir.Size(rows[0]))
    if first is not None:
        limit = first if wide == 1 else f"tl.cdiv({first}, {wide})"
    tile = Summing(shared, prelude, column=column)
    names = coordinates(shared, body, rows, widths, flat)
    for at, (axis, name) in enumerate(zip(rows, names, strict=True)):
        if at == 0:
            whole = first is None or len(rows) == 1
            root = limit if whole else size
            alive = f"{name} < {_tight(root) if first is not None else root}"
            if not whole:
                alive = joined(alive, f"{flat} < {_tight(limit)}")
        elif isinstance(axis, ir.Dense):
            alive = ""
        else:
            alive = f"{name} < {tile.at(length_of(axis), 2)}"
        tile = tile.below(Level(axis, name, alive, body), column=column)
    return tile, flat


def coordinates(
    shared: Shared,
    body: list[Stmt],
    rows: tuple[ir.Axis, ...],
    widths: list[int],
    flat: str,
) -> list[str]:
    """The offset on each axis of a flattened row, last axis fastest."""
    if len(rows) == 1:
        return [flat]
    names: list[str] = []
    inner = 1
    for axis, width in zip(reversed(rows), reversed(widths), strict=True):
        wish = axis.name if isinstance(axis, ir.Root) else f"{axis.name}_offset"
        name = shared.names.fresh(wish)
        value = flat if inner == 1 else f"{flat} // {inner}"
        if axis is not rows[0]:
            value = f"{value} % {width}"
        body.append(Let(name, value))
        names.append(name)
        inner *= width
    return names[::-1]


__all__ = ["Block", "If", "Remark", "Summing", "coordinates", "identity", "length_of", "pass_over"]
