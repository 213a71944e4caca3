"""Lines that sum over the points before a program's own: one pass for all sums along one branch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TypeVar

from metaplan import ir
from metaplan.ir import DType, Monoid
from metaplan.lower.emit import Level, Shared, Tile, joined
from metaplan.program import Let, Loop, Stmt
from metaplan.schedule import Partial, power, same_lanes
from metaplan.sums import frame, members, standing


@dataclass(frozen=True, slots=True)
class Before:
    """The points that a sum takes: those of the first ``rows`` rows, and of them those whose

    flattened index is below ``points`` where the last row counts in part. None: all live points.
    """

    rows: str
    points: str = ""


@dataclass(frozen=True, slots=True)
class Sum:
    """``name`` becomes ``of`` combined over the points of ``over`` that lie before."""

    name: str
    of: ir.Expr
    over: ir.Axis
    before: Before | None
    op: Monoid = Monoid.SUM


def prepared(shared: Shared, s: Sum | ir.Scan | ir.Reduce) -> Partial | None:
    """The totals of blocks of rows that a launch before this one made of a sum."""
    summed = isinstance(s, ir.Scan) or s.op is Monoid.SUM
    return shared.partials.get(ir.Scan(s.of, s.over)) if summed else None


def blocked(shared: Shared, s: ir.Scan | ir.Reduce) -> tuple[tuple[ir.Axis, ...], int] | None:
    """What those blocks are: sums can share a pass where they are the same."""
    found = prepared(shared, s)
    return found and (found.along, found.rows)


def combined(op: Monoid, a: str, b: str) -> str:
    return f"{a} + {b}" if op is Monoid.SUM else f"tl.{op.value}imum({a}, {b})"


def zero(op: Monoid, dtype: DType) -> str:
    start = op.identity(dtype)
    return str(start) if dtype is DType.I32 else f"tl.full((), {start}, tl.int64)"


def length_of(axis: ir.Axis) -> ir.Expr:
    """How many points a row has, on the parent."""
    match axis:
        case ir.Ragged(_, above, length):
            return _selected(above, length)
        case ir.Part(_, whole, _, length):
            return _selected(whole.parent, length)
        case ir.Dense(_, above, int(width)):
            return _selected(above, ir.Const(width, loc=axis.loc))
        case _:
            return ir.Size(axis, loc=axis.loc)


def _selected(above: ir.Axis | None, length: ir.Expr) -> ir.Expr:
    """``length`` where the row is one of ``above``; others have no points."""
    inside = members(above)
    if inside is None:
        return length
    return ir.Where(inside, length, ir.Const(0, loc=length.loc.unnamed()), loc=length.loc.unnamed())


def coordinates(
    shared: Shared, body: list[Stmt], rows: tuple[ir.Axis, ...], widths: list[int], flat: str
) -> list[str]:
    """The offset on each axis of a flattened row, last axis fastest."""
    if len(rows) == 1:
        return [flat]
    names: list[str] = []
    inner = 1
    for axis, width in zip(reversed(rows), reversed(widths), strict=True):
        wish = axis.name if ir.top(axis) else f"{axis.name}_offset"
        name = shared.names.fresh(wish)
        value = flat if inner == 1 else f"{flat} // {inner}"
        if axis is not rows[0]:
            value = f"{value} % {width}"
        body.append(Let(name, value))
        names.append(name)
        inner *= width
    return names[::-1]


def tight(text: str) -> str:
    return text if text.isidentifier() or text.isdecimal() else f"({text})"


def pass_over(base: Tile, out: list[Stmt], sums: list[Sum], start: str = "") -> None:
    """One tile of rows x lanes at a time, once only where all rows fit; all ``sums`` share it.

    The sums run along one axis, or some of them along its parent. ``start`` is the first row. Sums
    that a launch before this one has prepared for whole blocks only run over the rest.
    """
    shared = base.shared
    totals = [prepared(shared, s) for s in sums]
    ready = not start and all(p is not None for p in totals) and bool(sums)
    deepest = max((s.over for s in sums), key=lambda a: len(frame(a)))
    axes = frame(deepest)
    inside = [e for e in ir.walk(*(s.of for s in sums)) if isinstance(e, ir.Reduce) and e.to]
    nested = any(frame(e.to) == axes for e in inside)
    flat_only = nested or len(axes) == 1
    rows, lane = (axes, None) if flat_only else (axes[:-1], axes[-1])
    widths = [shared.ranges.bound(a) for a in rows]
    points = 1
    for width in widths:
        points *= width
    wide = power(shared.ranges.bound(lane)) if lane is not None else 1
    if nested:
        wide = max(power(shared.ranges.bound(e.over)) for e in inside)
    height = min(power(points), max(shared.scan_tile // wide, 1))
    column = lane is not None or nested
    looped = points > height or bool(start)
    body: list[Stmt] = []
    after: list[Stmt] = []
    if ready:
        whole = _stop(base, axes[:-1] or axes, sums)
        start = _whole(base, out, sums, [p for p in totals if p is not None], whole)
        if all(s.before is None for s in sums):
            return
    if nested and len(axes) > 1:
        # The last axis is one of the rows here, and the limits count its points.
        each = widths[-1]
        sums = [replace(s, before=_of_points(s.before, each)) for s in sums]
        start = f"{tight(start)} * {each}" if start else ""
    stop = _stop(base, rows, sums)
    above = shared.names.fresh("above") if looped else ""
    flat = shared.names.fresh("every")
    span = f"tl.arange(0, {height})" + ("[:, None]" if column else "")
    body.append(Let(flat, f"{above} + {span}" if looped else span))
    tile = _levels(base, body, rows, widths, flat, column, sums)
    values = [s.of for s in sums]
    tile.expect(values)
    lanes = tile
    if lane is not None:
        offset = shared.names.fresh(f"{lane.name}_each")
        body.append(Let(offset, f"tl.arange(0, {wide})[None, :]"))
        limit = tile.at(length_of(lane), 2)
        lanes = tile.below(Level(lane, offset, f"{offset} < {limit}", body))
        counted = shared.names.fresh(f"{lane.name}_counted")
        body.append(Let(counted, lanes.levels[-1].live))
        lanes.levels[-1].live = counted
    for s in sums:
        at = lanes if lane is not None and len(frame(s.over)) == len(axes) else tile
        mask = at.live(len(at.levels))
        if s.before is not None and s.before.points:
            width = shared.ranges.bound(lane) if lane is not None else 1
            place = f"{flat} * {width} + {at.levels[-1].offset}" if at is lanes else flat
            mask = joined(mask, f"{place} < {tight(s.before.points)}")
        dtype = ir.dtype_of(s.of)
        own = f"tl.where({mask}, {at.typed(s.of)}, {s.op.identity(dtype)})"
        if not looped:
            body.append(Let(s.name, f"tl.{s.op.value}({own})"))
            continue
        # Lane by lane inside the loop, across lanes once behind it.
        parts = shared.names.fresh(f"{s.name}_parts")
        shape = f"[{height}, {wide if at is lanes and lane is not None else 1}]"
        empty = f"{shape if column else f'[{height}]'}, {s.op.identity(dtype)}"
        out.append(Let(parts, f"tl.full({empty}, tl.{dtype.value})"))
        body.append(Let(parts, combined(s.op, parts, own)))
        total = f"tl.{s.op.value}({parts})"
        after.append(Let(s.name, combined(s.op, s.name, total) if ready else total))
    if not looped:
        out.extend(body)
        return
    out.append(Loop(above, start or "0", stop, str(height), tuple(body)))
    out.extend(after)


def _of_points(before: Before | None, each: int) -> Before | None:
    """The same limit as a number of points, where a row has ``each`` of them."""
    if before is None:
        return None
    return Before(before.points or f"{tight(before.rows)} * {each}")


def _stop(base: Tile, rows: tuple[ir.Axis, ...], sums: list[Sum]) -> str:
    """The row at which the pass ends: the program's first one, or the last live one."""
    stops = list(dict.fromkeys(s.before.rows for s in sums if s.before is not None))
    if stops:
        return stops[0] if len(stops) == 1 else f"tl.maximum({', '.join(stops)})"
    return live_rows(base, rows)


def live_rows(base: Tile, rows: tuple[ir.Axis, ...]) -> str:
    """How many rows of ``rows`` are live, those below the first one padded to their bounds."""
    live = base.plain(length_of(rows[0]))
    inner = prod(map(base.shared.ranges.bound, rows[1:]))
    return live if inner == 1 else f"{live} * {inner}"


def _whole(base: Tile, out: list[Stmt], sums: list[Sum], prepared: list[Partial], stop: str) -> str:
    """Adds up the blocks that lie wholly before; the first row of the one that does not."""
    shared = base.shared
    blocks, number = shared.names.fresh("blocks"), shared.names.fresh("every_block")
    before, rows = sums[0].before, prepared[0].rows
    if before is None:
        count = f"tl.cdiv({stop}, {rows})"
    elif before.points:  # The last row counts in part, and ``stop`` is behind it.
        count = f"{tight(before.points)} // {shared.ranges.bound(sums[0].over) * rows}"
    else:
        count = f"{tight(stop)} // {rows}"
    out.append(Let(blocks, count))
    out.append(Let(number, f"tl.arange(0, {power(prepared[0].blocks)})"))
    for s, partial in zip(sums, prepared, strict=True):
        pointer = shared.use(f"{partial.name}_ptr")
        load = f"tl.load({pointer} + {number}, mask={number} < {blocks}, other=0)"
        out.append(Let(s.name, f"tl.sum({load})"))
    return f"{blocks} * {rows}"


def _levels(
    base: Tile,
    body: list[Stmt],
    rows: tuple[ir.Axis, ...],
    widths: list[int],
    flat: str,
    column: bool,
    sums: list[Sum],
) -> Tile:
    """The row levels of a pass: live where every axis above is, and before the program's own rows."""
    shared = base.shared
    limits = list(dict.fromkeys(s.before.rows for s in sums if s.before is not None))
    tile: Tile = type(base)(shared, base.prelude, column=column)
    tile.where = "before" if limits else ""
    names = coordinates(shared, body, rows, widths, flat)
    for at, (axis, name) in enumerate(zip(rows, names, strict=True)):
        if isinstance(axis, ir.Dense) and at:
            inside = standing(axis)
            alive = "" if inside is None else tile.plain(inside)
        else:
            alive = f"{name} < {tile.at(length_of(axis), 2)}"
        if at == 0 and limits:
            bounded = [f"{flat} < {tight(limit)}" for limit in limits[:1]]
            alive = joined(*bounded) if len(rows) == 1 else joined(alive, *bounded)
        tile = tile.below(Level(axis, name, alive, body), column=column)
    return tile


S = TypeVar("S", ir.Scan, ir.Reduce)


def one_branch(sums: list[S]) -> list[S]:
    """Of sums along one axis and along several of its children, those along one of the children."""
    deep = max(sums, key=lambda s: len(frame(s.over)), default=None)
    return [s for s in sums if deep is not None and one_pass(s, deep)]


def one_pass(a: ir.Scan | ir.Reduce, b: ir.Scan | ir.Reduce) -> bool:
    """Whether two sums can share a pass: one axis, or an axis and its parent.

    A sum whose value is itself one over a row below needs that row for its lanes.
    """
    if same_lanes(a.over, b.over):
        return True
    if any(isinstance(e, ir.Reduce) and e.to is not None for e in ir.walk(a.of, b.of)):
        return False
    one, other = frame(a.over), frame(b.over)
    return one[:-1] == other or other[:-1] == one
