"""Running sums and reductions: what lies before a program's rows, then what lies inside its tile."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from metaplan import ir
from metaplan.lower.emit import Level, Text, Tile, joined, total_of
from metaplan.lower.passes_over import (
    Before,
    Sum,
    blocked,
    combined,
    length_of,
    one_branch,
    one_pass,
    pass_over,
    tight,
    zero,
)
from metaplan.program import Let, Loop, Stmt
from metaplan.schedule import power, same_lanes
from metaplan.sums import frame, member, normal
from metaplan.text import ATOM

_MANY = 4096  # widest row that a reduction takes in one tile


@dataclass(frozen=True, slots=True)
class Block:
    """Where the rows of a tile begin: ``first`` is the flattened index of the first one."""

    first: str
    row: str
    rows: int
    widths: tuple[int, ...]
    offsets: tuple[str, ...] = ()
    has_lanes: bool = False
    carry: list[Stmt] | None = None

    def one_row(self, depth: int) -> bool:
        """Whether all rows of the tile lie under one row of the axis at ``depth``."""
        return self.rows == 1 or prod(self.widths[depth:]) % self.rows == 0


@dataclass(slots=True)
class Wanted:
    """The running sums that a region needs; ``done`` has the names of those before its rows."""

    scans: list[ir.Scan] = field(default_factory=list[ir.Scan])
    totals: list[ir.Reduce] = field(default_factory=list[ir.Reduce])
    asked: set[ir.Axis] = field(default_factory=set[ir.Axis])
    limits: dict[str, str] = field(default_factory=dict[str, str])
    done: dict[ir.Scan | ir.Reduce, str] = field(default_factory=dict[ir.Scan | ir.Reduce, str])


class Summing(Tile):
    """A tile that can also sum: over the points before it, over a row, over the whole batch."""

    block_at: Block | None = None
    wanted: Wanted | None = None

    @cached_property
    def inner(self) -> dict[ir.Axis, Summing]:
        """The tiles that sums over a child of this one's rows have made."""
        return {}

    @cached_property
    def sweeps(self) -> dict[ir.Axis, Summing]:
        """The points of other axes that this tile's points ask, where one tile holds them all."""
        return {}

    def below(self, level: Level, *, column: bool | None = None) -> Summing:
        tile = super().below(level, column=column)
        assert isinstance(tile, Summing)
        tile.block_at, tile.wanted = self.block_at, self.wanted
        return tile

    def prepare(self, roots: list[ir.Expr]) -> None:
        """Remembers the running sums that ``roots`` need, so that one pass serves a branch."""
        self.wanted = Wanted()
        self.also(roots)

    def also(self, roots: list[ir.Expr]) -> None:
        """Remembers those of ``roots`` too, which nobody knew of before."""
        wanted = self.root().wanted
        assert wanted is not None
        scans, totals = dict.fromkeys(wanted.scans), dict.fromkeys(wanted.totals)
        for e in ir.near(*roots):
            match e:
                case ir.Scan():
                    scans.setdefault(normal(e))
                case ir.Reduce(to=None) if not ir.tried(e):
                    totals.setdefault(whole(e))
                case ir.Size(ir.Ragged() | ir.Part() as axis):
                    totals.setdefault(whole(total_of(axis)))
                case ir.Across():
                    wanted.asked.add(e.over)
                case _:
                    pass
        wanted.scans, wanted.totals = list(scans), list(totals)

    # -------------------------------------------- rows, folds and searches

    def along_row(self, e: ir.RowScan | ir.Sort) -> Text:
        from metaplan.lower.rows import along_row

        return along_row(self, e)

    def folded(self, e: ir.Fold | ir.Carry) -> Text:
        from metaplan.lower.folds import folded

        assert isinstance(e, ir.Fold)
        return folded(self, e)

    def searched(self, e: ir.Bisect | ir.Trial) -> Text:
        from metaplan.lower.searches import searched

        assert isinstance(e, ir.Bisect)
        return searched(self, e)

    # ------------------------------------------------------------ sweeps

    def swept(self, e: ir.Across | ir.Given) -> Text:
        from metaplan.lower.sweeps import swept

        assert isinstance(e, ir.Across)
        return swept(self, e)

    # ------------------------------------------------------------- scans

    def scan(self, e: ir.Expr, of: ir.Expr, over: ir.Axis) -> Text:
        assert isinstance(e, ir.Scan)
        own = normal(e)
        at = self.depth(ir.Offset(own.over))
        tile = self.owner(at)
        assert isinstance(tile, Summing)
        inside = tile.block_at is not None and tile.block_at.has_lanes
        if len(tile.levels) == at and inside:
            made = tile.scan_lanes(own)
        else:
            made = tile.scan_rows(own, at)
        if made.isidentifier() or made == "0":
            return made, ATOM
        name = self.shared.names.fresh(self.shared.names.wish(e) or f"{own.over.name}_sum")
        tile.block(at).append(Let(name, made, self.shared.names.note(e)))
        return name, ATOM

    def alike(self, e: ir.Expr) -> bool:
        if not isinstance(e, ir.Scan):
            return False
        depth = self.depth(ir.Offset(normal(e).over))
        tile = self.owner(depth)
        assert isinstance(tile, Summing)
        block = tile.block_at
        if block is None or (len(tile.levels) == depth and block.has_lanes):
            return False
        return block.one_row(depth)

    def scan_rows(self, e: ir.Scan, depth: int) -> str:
        """The sum before each row of the tile, for an axis that its rows run along."""
        block = self.block_at
        assert block is not None
        before = self.before(e)
        if block.one_row(depth):
            return before
        # A row's own count is added where its last point is, so that only whole rows lie before.
        last = zip(block.offsets[depth:], block.widths[depth:], strict=True)
        mask = joined(self.live(depth), *(f"{offset} == {w - 1}" for offset, w in last))
        own = self._count(e, mask)
        if not self.column:
            return _after(before, f"tl.cumsum({own}, 0) - {own}")
        # As a sum over the rows above: triton 3.6 scans a column of several warps wrongly.
        above = f"tl.where(tl.trans({block.row}) < {block.row}, tl.trans({own}), 0)"
        return _after(before, f"tl.sum({above}, 1, keep_dims=True)")

    def scan_lanes(self, e: ir.Scan) -> str:
        """The sum before each point of the one row of this program, for the axis of its lanes."""
        block = self.block_at
        assert block is not None
        assert not self.column, "one row a program, where its lanes are summed"
        own = self._count(e, self.live(len(self.levels)))
        before = self.before(e)
        inside = f"tl.cumsum({own}, 0) - {own}"
        if block.carry is None:
            return _after(before, inside)
        carry = self.shared.names.fresh(f"{e.over.name}_carry")
        self.levels[-2].block.append(Let(carry, before))
        block.carry.append(Let(carry, f"{carry} + tl.sum({own}, 0)"))
        return f"{carry} + {inside}"

    def _count(self, e: ir.Scan, mask: str) -> str:
        value, level = self.typed(e.of), self.levels[-1]
        if not mask and self.depth(e.of) < len(self.levels):
            value = f"{tight(value)} + tl.zeros_like({level.offset})"
        own = self.shared.names.fresh(f"{e.over.name}_count")
        level.block.append(Let(own, f"tl.where({mask}, {value}, 0)" if mask else value))
        return own

    def before(self, e: ir.Scan) -> str:
        """The sum over all points that lie before the first row of this program."""
        assert self.wanted is not None
        assert self.block_at is not None
        done = self.wanted.done
        if self.block_at.first == "0":
            return "0"
        if e not in done:
            sums = [s for s in self._together(e) if s not in done]
            made = [
                Sum(self._before_name(s), s.of, s.over, self._named_limit(s.over)) for s in sums
            ]
            pass_over(self, self.levels[0].block, made)
            done.update({s: m.name for s, m in zip(sums, made, strict=True)})
        return done[e]

    def _together(self, e: ir.Scan) -> list[ir.Scan]:
        """The sums that one pass can serve: those along the same axis, and along its parent."""
        assert self.wanted is not None
        scans, own = self.wanted.scans, blocked(self.shared, e)
        alike = [s for s in scans if blocked(self.shared, s) == own]
        branch = [s for s in alike if one_pass(s, e)]
        limit = self._limit(e.over)
        branch = [s for s in branch if self._limit(s.over).rows == limit.rows]
        deepest = max((len(frame(s.over)) for s in branch), default=0)
        near = one_branch([s for s in branch if len(frame(s.over)) >= deepest - 1])
        return near if e in near else [s for s in branch if same_lanes(s.over, e.over)]

    def _rows(self) -> tuple[int, ...]:
        assert self.block_at is not None
        widths = self.block_at.widths
        return widths[:-1] if self.block_at.has_lanes else widths

    def _limit(self, over: ir.Axis) -> Before:
        """The points of ``over`` before this program's first row."""
        block = self.block_at
        assert block is not None
        axes, widths = frame(over), self._rows()
        if len(axes) > len(widths):
            return Before(block.first)
        inner = prod(widths[len(axes) :])
        first = block.first if inner == 1 else f"{tight(block.first)} // {inner}"
        if len(axes) == 1:
            return Before(first)
        last = widths[len(axes) - 1]
        if block.rows % (last * inner) == 0:
            return Before(f"{tight(block.first)} // {last * inner}")
        return Before(f"tl.cdiv({first}, {last})", first)

    def _named_limit(self, over: ir.Axis) -> Before:
        """The same, with the number of rows as a name."""
        assert self.wanted is not None
        limit = self._limit(over)
        if limit.rows.isidentifier():
            return limit
        if limit.rows not in self.wanted.limits:
            name = self.shared.names.fresh(f"{frame(over)[0].name}_before")
            self.levels[0].block.append(Let(name, limit.rows))
            self.wanted.limits[limit.rows] = name
        return Before(self.wanted.limits[limit.rows], limit.points)

    def _before_name(self, e: ir.Scan) -> str:
        wish = self.shared.names.hints.get(e)
        return self.shared.names.fresh(f"{wish}_before" if wish else f"{e.over.name}_before")

    # -------------------------------------------------------- reductions

    def reduce(self, e: ir.Reduce) -> Text:
        if e.to is None:
            return self.total(whole(e)), ATOM
        at = self.depth(e)
        tile = self.owner(at)
        assert isinstance(tile, Summing)
        if (own := self.alone(e)) is not None:
            return tile.text(own)
        over, of = member(e.over, e.of, e.op.identity(ir.dtype_of(e.of)))
        return tile.reduce_row(e, of, over, at), ATOM

    def alone(self, e: ir.Expr) -> ir.Expr | None:
        if not isinstance(e, ir.Reduce) or e.to is None:
            return None
        over, of = member(e.over, e.of, e.op.identity(ir.dtype_of(e.of)))
        return of if frame(over) == frame(e.to) else None

    def row_of(self, over: ir.Axis, body: list[Stmt], first: str) -> Summing:
        """The points of ``over`` beside the rows of this tile; the same for every sum over them."""
        if not first and over in self.inner:
            return self.inner[over]
        bound = self.shared.ranges.bound(over)
        offset = self.shared.names.fresh(f"{over.name}_offset")
        lanes = f"tl.arange(0, {min(power(bound), _MANY)})" + ("[None, :]" if self.column else "")
        limit = self.at(length_of(over), 2)
        body.append(Let(offset, f"{first} + {lanes}" if first else lanes))
        tile = self.below(Level(over, offset, f"{offset} < {limit}", body))
        tile.block_at = None
        level = tile.levels[-1]
        counted = self.shared.names.fresh(f"{over.name}_counted")
        body.append(Let(counted, level.live))
        level.live = counted
        if not first:
            self.inner[over] = tile
        return tile

    def total(self, e: ir.Reduce) -> str:
        """A combination over the whole batch; one pass makes all that a branch of axes needs."""
        wanted = self.root().wanted or Wanted()
        if e not in wanted.done and e.over in wanted.asked:
            from metaplan.lower.sweeps import total_beside

            wanted.done |= total_beside(self, e)
        if e not in wanted.done:
            near = [t for t in wanted.totals if t not in wanted.done and self._beside(t, e)]
            deepest = max((len(frame(t.over)) for t in near), default=0)
            near = one_branch([t for t in near if len(frame(t.over)) >= deepest - 1])
            group = near if e in near else [e]
            made = [Sum(self.total_name(t), t.of, t.over, None, t.op) for t in group]
            pass_over(self, self.prelude, made)
            wanted.done.update({t: m.name for t, m in zip(group, made, strict=True)})
        return wanted.done[e]

    def _beside(self, a: ir.Reduce, b: ir.Reduce) -> bool:
        """Whether one pass can make both."""
        return blocked(self.shared, a) == blocked(self.shared, b) and one_pass(a, b)

    def total_name(self, e: ir.Reduce) -> str:
        return self.shared.names.fresh(self.shared.names.wish(e) or f"{e.over.name}_total")

    def root(self) -> Summing:
        tile: Tile = self
        while tile.above is not None:
            tile = tile.above
        assert isinstance(tile, Summing)
        return tile

    def reduce_row(self, e: ir.Reduce, of: ir.Expr, over: ir.Axis, at: int) -> str:
        """``of`` combined over the points of ``over`` under each row of this tile."""
        names = self.shared.names
        bound = self.shared.ranges.bound(over)
        name = names.fresh(names.wish(e) or f"{over.name}_{e.op.value}")
        out, dtype = self.block(at), ir.dtype_of(of)
        shape = self.levels[-1].shape if self.levels else "scalar"
        if shape == "lanes" or (shape == "vector" and not self.column):
            return self._reduce_places(e, of, over, name)
        looped = bound > _MANY
        first = names.fresh(f"{over.name}_first") if looped else ""
        body: list[Stmt] = [] if looped else out
        inner = self.row_of(over, body, first)
        start = e.op.identity(dtype)
        value = f"tl.where({inner.live(len(inner.levels))}, {inner.typed(of)}, {start})"
        total = f"tl.{e.op.value}({value}, {'1, keep_dims=True' if self.column else '0'})"
        if not looped:
            out.append(Let(name, total, names.note(e)))
            return name
        rows = self.block_at.rows if self.block_at is not None else 1
        empty = f"tl.full([{rows}, 1], {start}, tl.{dtype.value})"
        out.append(Let(name, empty if self.column else zero(e.op, dtype), names.note(e)))
        body.append(Let(name, combined(e.op, name, total)))
        out.append(Loop(first, "0", str(bound), str(_MANY), tuple(body)))
        return name

    def _reduce_places(self, e: ir.Reduce, of: ir.Expr, over: ir.Axis, name: str) -> str:
        """The same where the rows are lanes: each goes along its own points."""
        from metaplan.lower.places import shape, walk

        out, way = self.block(len(self.levels)), walk(self, over)
        start, inner = e.op.identity(ir.dtype_of(of)), way.tile
        empty = f"tl.full({shape(self)}, {start}, tl.{ir.dtype_of(of).value})"
        out.append(Let(name, empty, self.shared.names.note(e)))
        own = f"tl.where({inner.live(len(inner.levels))}, {inner.typed(of)}, {start})"
        way.body.append(Let(name, combined(e.op, name, own)))
        out.append(way.loop())
        return name


def _after(before: str, inside: str) -> str:
    return inside if before == "0" else f"{before} + {inside}"


def whole(e: ir.Reduce) -> ir.Reduce:
    """The same combination over an axis that is enumerated."""
    over, of = member(e.over, e.of, e.op.identity(ir.dtype_of(e.of)))
    return ir.Reduce(e.op, of, over, None, loc=e.loc)
