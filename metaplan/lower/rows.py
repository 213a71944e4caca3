"""Sums and orders along a row that lies in the lanes of a program, whole or a tile at a time."""

from __future__ import annotations

from metaplan import ir
from metaplan.ir import Op
from metaplan.lower.emit import Text
from metaplan.lower.passes_over import zero
from metaplan.lower.scans import Summing
from metaplan.passes.rewrite import Rewriter
from metaplan.program import Let
from metaplan.schedule import Work
from metaplan.sums import frame, normal
from metaplan.text import ATOM


def along_row(tile: Summing, e: ir.RowScan | ir.Sort) -> Text:
    """The name of ``e`` on the level of its lanes."""
    lanes = tile.owner(tile.depth(ir.Offset(e.over)))
    assert isinstance(lanes, Summing)
    block, level = lanes.block_at, lanes.levels[-1]
    assert block is not None
    assert block.has_lanes
    names = lanes.shared.names
    value = _sorted(lanes, e) if isinstance(e, ir.Sort) else _sum(lanes, e)
    word = "sorted" if isinstance(e, ir.Sort) else "before"
    name = names.fresh(names.wish(e) or f"{e.over.name}_{word}")
    level.block.append(Let(name, value, names.note(e)))
    return name, ATOM


def _masked(lanes: Summing, e: ir.Expr, other: int) -> str:
    live = lanes.live(len(lanes.levels))
    return f"tl.where({live}, {lanes.plain(e)}, {other})" if live else lanes.plain(e)


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
    total = f"tl.sum({own}, {'1, keep_dims=True' if lanes.column else '0'})"
    block.carry.append(Let(carry, f"{carry} + {total}"))
    return f"{carry} + {inside}"


def _sorted(lanes: Summing, e: ir.Sort) -> str:
    """Lanes without a point come last."""
    dtype = ir.dtype_of(e.of)
    assert lanes.block_at is not None
    assert lanes.block_at.carry is None, "a row that is sorted lies in one tile"
    value = _masked(lanes, e.of, dtype.lo if e.descending else dtype.hi)
    return f"tl.sort({value}, descending=True)" if e.descending else f"tl.sort({value})"


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
