"""Sums and orders along a row that lies in the lanes of a program, whole or a tile at a time."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import Op
from metaplan.lower.emit import Text, joined
from metaplan.lower.passes_over import zero
from metaplan.lower.places import spread, walk
from metaplan.lower.scans import Summing
from metaplan.passes.rewrite import Rewriter
from metaplan.program import Let
from metaplan.schedule import Work
from metaplan.sums import frame, normal
from metaplan.text import ATOM


def along_row(tile: Summing, e: ir.RowScan | ir.Sort) -> Text:
    """The name of ``e`` on the level of its points."""
    own = tile.owner(tile.depth(ir.Offset(e.over)))
    assert isinstance(own, Summing)
    names, lanes = own.shared.names, own.block_at is not None and own.block_at.has_lanes
    match e:
        case ir.RowScan():
            word, value = "before", _sum(own, e) if lanes else _sum_beside(own, e)
        case ir.Sort():
            word, value = "sorted", _sorted(own, e) if lanes else _sorted_beside(own, e)
    name = names.fresh(names.wish(e) or f"{e.over.name}_{word}")
    own.levels[-1].block.append(Let(name, value, names.note(e)))
    return name, ATOM


# -------------------------------------------------------- points as lanes


def _masked(lanes: Summing, e: ir.Expr, other: int) -> str:
    live = lanes.live(len(lanes.levels))
    return f"tl.where({live}, {lanes.typed(e)}, {other})" if live else lanes.typed(e)


def _sum(lanes: Summing, e: ir.RowScan) -> str:
    names, block, level = lanes.shared.names, lanes.block_at, lanes.levels[-1]
    assert block is not None
    own, value = names.fresh(f"{e.over.name}_count"), _masked(lanes, e.of, 0)
    level.block.append(Let(own, value))
    inside = f"tl.cumsum({own}, {int(lanes.column)}) - {own}"
    if block.carry is None:
        return inside
    carry, dtype = names.fresh(f"{e.over.name}_carry"), ir.dtype_of(e.of)
    start = f"tl.full([{block.rows}, 1], 0, tl.{dtype.value})"
    lanes.levels[-2].block.append(Let(carry, start if lanes.column else zero(ir.Monoid.SUM, dtype)))
    block.carry.append(Let(carry, f"{carry} + tl.sum({own}, {_along(lanes)})"))
    return f"{carry} + {inside}"


def _sorted(lanes: Summing, e: ir.Sort) -> str:
    """Lanes without a point come last."""
    dtype = ir.dtype_of(e.of)
    looped = lanes.block_at is not None and lanes.block_at.carry is not None
    assert not looped, "a row that is sorted lies in one tile"
    value = _masked(lanes, e.of, dtype.lo if e.descending else dtype.hi)
    return f"tl.sort({value}, descending=True)" if e.descending else f"tl.sort({value})"


# ---------------------------------------------- the row beside its points


def _row(own: Summing, over: ir.Axis) -> tuple[Summing, str]:
    """All points of the row, and along which dimension they lie."""
    above = own.above
    assert isinstance(above, Summing)
    assert own.levels[-1].shape in ("scalar", "column")
    return above.row_of(over, above.block(len(above.levels)), ""), _along(own)


def _along(own: Summing) -> str:
    return "1, keep_dims=True" if own.column else "0"


def _sum_beside(own: Summing, e: ir.RowScan) -> str:
    """The sum of the points in front of each."""
    place, above = own.levels[-1].offset, own.above
    if own.levels[-1].shape in ("scalar", "column"):
        row, along = _row(own, e.over)
        live = joined(row.live(len(row.levels)), f"{row.levels[-1].offset} < {place}")
        return f"tl.sum(tl.where({live}, {row.typed(e.of)}, 0), {along})"
    assert isinstance(above, Summing)
    way, total = walk(above, e.over), own.shared.names.fresh(f"{e.over.name}_sum")
    own.levels[-1].block.append(Let(total, spread(own, ir.Const(0, ir.dtype_of(e.of)))))
    live = joined(way.tile.live(len(way.tile.levels)), f"{way.tile.levels[-1].offset} < {place}")
    way.body.append(Let(total, f"{total} + tl.where({live}, {way.tile.typed(e.of)}, 0)"))
    own.levels[-1].block.append(way.loop())
    return total


def _sorted_beside(own: Summing, e: ir.Sort) -> str:
    """The one in the place of each point."""
    row, along = _row(own, e.over)
    every = own.shared.names.fresh(f"{e.over.name}_sorted")
    row.levels[-1].block.append(Let(every, _sorted(row, e)))
    here = f"{row.levels[-1].offset} == {own.levels[-1].offset}"
    return f"tl.sum(tl.where({here}, {every}, 0), {along})"


# ------------------------------------------------ sums over more than a row


def row_by_row(work: Work) -> Work:
    """``work`` in which the running sums along its lanes start anew at each row, where it has several rows."""
    axes, lanes = work.axes, work.lanes
    if lanes is None or not work.column:
        return work

    def rule(e: ir.Expr) -> ir.Expr | None:
        # sum of all points before => that of the rows before, and of the row so far
        if not isinstance(e, ir.Scan) or frame(e.over) != axes:
            return None
        own, above = normal(e), ir.parent(lanes)
        assert above is not None
        total = ir.Reduce(ir.Monoid.SUM, own.of, own.over, above, loc=e.loc)
        start = ir.Scan(total, above, loc=e.loc)
        return ir.Bin(Op.ADD, start, ir.RowScan(own.of, own.over, loc=e.loc), loc=e.loc)

    return work.mapped(axes, Rewriter(rule).expr)
