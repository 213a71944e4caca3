"""A Work as a region: rows of a program, lanes of a row, then the stores."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan import ir
from metaplan.ir import Op
from metaplan.looking import sequence
from metaplan.lower import copies
from metaplan.lower.behind import counted_behind, helpers, loaded
from metaplan.lower.emit import Level, Shared, joined
from metaplan.lower.folds import carried_along, fold_loop
from metaplan.lower.names import names
from metaplan.lower.packed import Packed
from metaplan.lower.partials import by_scan
from metaplan.lower.passes_over import coordinates, length_of
from metaplan.lower.places import as_tensor, longest, many, shape
from metaplan.lower.rows import row_by_row
from metaplan.lower.scans import Block, Summing
from metaplan.lower.stores import stored
from metaplan.lower.titles import titled
from metaplan.passes.lazy import conjuncts
from metaplan.program import Barrier, Count, If, Let, Loop, Region, Stmt
from metaplan.ranges import Ranges
from metaplan.schedule import Schedule, Work, power, same_lanes
from metaplan.sums import frame, members, standing
from metaplan.writes import Write


def region(schedule: Schedule, work: Work, kernel: str) -> tuple[Region, tuple[str, ...]]:
    """The region of one work, and the helper functions that it calls."""
    shared = Shared(
        schedule.plan, Ranges(), names(schedule.plan), schedule.scan_tile, by_scan(schedule)
    )
    lines = [*copies.chosen(shared, work.copies, work.programs), *_Body(shared, work).lines()]
    body = tuple(counted_behind(shared.names, lines))
    title = titled(work)
    name = f"{kernel}_{work.name}"
    made = Region(name, title, tuple(shared.params), work.programs, body)
    return copies.times(made, work.copies), (*shared.helpers, *dict.fromkeys(helpers(body)))


def _end(where: ir.Expr | None, axis: ir.Axis) -> ir.Expr | None:
    """The place of a row from where on ``where`` is false, where it says so."""
    for test in conjuncts(where) if where is not None else ():
        match test:
            case ir.Bin(Op.LT, ir.Offset(own), end) if same_lanes(own, axis):
                lives = ir.axis_of(end)
                if lives is None or frame(lives)[-1:] != frame(axis)[-1:]:
                    return end
            case _:
                pass
    return None


def _conjunction(*tests: ir.Expr | None) -> ir.Expr | None:
    """All of ``tests``: None where each always holds, a constant where one never does."""
    held: ir.Expr | None = None
    for test in tests:
        if test is None or (isinstance(test, ir.Const) and test.value):
            continue
        if isinstance(test, ir.Const):
            return test
        held = test if held is None else ir.Bin(Op.AND, held, test, loc=test.loc)
    return held


class _Body:
    def __init__(self, shared: Shared, work: Work) -> None:
        self.shared, self.work = shared, row_by_row(carried_along(work))
        self.widths = work.widths(shared.ranges)
        self.prelude: list[Stmt] = []
        self.roots = list(self.work.roots)

    def lines(self) -> list[Stmt]:
        work = self.work
        if not work.rows and work.sequence is not None:
            self._inside(self._tile(), self.prelude, False)
            return self.prelude
        if not work.axes:
            return self._batch()
        return self._rows() if work.rows else self._root_lanes()

    # ------------------------------------------------------------- kinds

    def _tile(self) -> Summing:
        tile = Summing(self.shared, self.prelude)
        tile.prepare(self.roots)
        tile.expect(self.roots)
        return tile

    def _batch(self) -> list[Stmt]:
        tile = self._tile()
        out: list[Stmt] = []
        self._stores(tile, self.work.writes, out, "")
        updates = any(w.target is not None for w in self.work.writes)
        return [*self.prelude, *([Barrier()] if updates else []), *out]

    def _root_lanes(self) -> list[Stmt]:
        """The rows of the root in the lanes of few programs."""
        axis, tile_size = self.work.lanes, self.work.tile
        assert axis is not None
        base = self._tile()
        live = self._live_root(base, axis)
        block: list[Stmt] = []
        only = self.work.programs == 1
        first = "0" if only else "first_row"
        name = self.shared.names.fresh(axis.name)
        span = f"tl.arange(0, {tile_size})"
        if not only:
            self.prelude.append(Let(first, f"program * {tile_size}"))
        block.append(Let(name, span if only else f"{first} + {span}"))
        known = ir.complete(axis)
        inside = "" if known and int(live) % tile_size == 0 else f"{name} < {live}"
        tile = base.below(Level(axis, name, inside, block, "vector", tile_size))
        assert isinstance(tile, Summing)
        tile.block_at = Block(first, name, tile_size, (), (), has_lanes=True)
        self._named_mask(tile, block, f"{axis.name}_live")
        self._stores(tile, self.work.writes, block, tile.levels[-1].live)
        if only or known:
            return [*self.prelude, *block]
        return [*self.prelude, If(f"{first} < {live}", tuple(block))]

    def _live_root(self, tile: Summing, axis: ir.Axis) -> str:
        return str(axis.width) if isinstance(axis, ir.Dense) else tile.plain(ir.Size(axis))

    def _named_mask(self, tile: Summing, block: list[Stmt], wish: str) -> None:
        """Gives the mask of the deepest level a name, once lanes have one."""
        level = tile.levels[-1]
        if level.live and not level.live.isidentifier():
            name = self.shared.names.fresh(wish)
            block.append(Let(name, level.live))
            level.live = name

    def _rows(self) -> list[Stmt]:
        work, names = self.work, self.shared.names
        base = self._tile()
        packed = Packed(base, work) if work.packed else None
        live = packed.rows if packed else self._live_root(base, work.rows[0])
        inner = 1
        for width in self.widths[1:]:
            inner *= width
        rows_live = live if inner == 1 or packed else f"{live} * {inner}"
        most = packed.room if packed else self.widths[0] * inner
        blocks_capacity = -(-most // work.rows_per_program)
        programs = work.programs // work.splits
        looped = programs < blocks_capacity
        body: list[Stmt] = []
        block = "program" if work.splits == 1 else "block"
        if work.splits > 1:
            self.prelude.append(Let("split", f"program % {work.splits}"))
            if not looped:
                self.prelude.append(Let("block", f"program // {work.splits}"))
        elif looped:
            block = "block"
        vector = work.rows_per_program > 1
        row = names.fresh(work.rows[0].name if len(work.rows) == 1 else "row")
        if vector:
            first = names.fresh("first_row")
            alone = blocks_capacity == 1
            if alone:
                first = "0"
            else:
                body.append(Let(first, f"{block} * {work.rows_per_program}"))
            span = f"tl.arange(0, {work.rows_per_program})" + ("[:, None]" if work.column else "")
            body.append(Let(row, span if alone else f"{first} + {span}"))
        else:
            first = row
            body.append(Let(row, as_tensor(block) if looped else block))
        every = looped and not vector
        known = packed is None and ir.complete(work.rows[0])
        full = known and most % work.rows_per_program == 0
        alive = "" if every or full else f"{row} < {live}" if packed else live
        body.extend(self._levels(base, row, first, alive, vector, packed))
        if not looped:
            start = f"{block} * {work.rows_per_program}" if vector else block
            inside: list[Stmt] = [If(f"{start} < {rows_live}", tuple(body))]
            return [*self.prelude, *(inside if vector and not known else body)]
        start = "program" if work.splits == 1 else f"program // {work.splits}"
        stop = rows_live if not vector else f"tl.cdiv({rows_live}, {work.rows_per_program})"
        return [*self.prelude, Loop(block, start, stop, str(programs), tuple(body))]

    def _levels(
        self,
        base: Summing,
        row: str,
        first: str,
        live: str,
        vector: bool,
        packed: Packed | None = None,
    ) -> list[Stmt]:
        """The row levels, and inside them the lanes: nested ifs for one row, masks for several."""
        work, shared = self.work, self.shared
        out: list[Stmt] = []
        if packed is not None:
            names = packed.coordinates(out, row)
        else:
            names = coordinates(shared, out, work.rows, list(self.widths), row)
        tile, blocks = base, [out]
        conditions: list[str] = []
        for at, (axis, name) in enumerate(zip(work.rows, names, strict=True)):
            if packed is not None:
                alive = "" if at else live
            else:
                alive = self._below(tile, axis, name) if at else f"{name} < {live}" if live else ""
            block: list[Stmt] = blocks[-1] if vector else []
            shape = "column" if work.column else "vector" if vector else "scalar"
            level = Level(axis, name, alive if vector else "", block, shape, work.rows_per_program)
            tile = tile.below(level, column=work.column)
            tile.block_at = Block(first, row, work.rows_per_program, self.widths, tuple(names))
            if packed is not None:
                packed.remember(tile)
            if vector and alive:
                self._named_mask(tile, block, f"{axis.name}_live")
            conditions.append(alive)
            blocks.append(block)
        self._inside(tile, blocks[-1], vector)
        if vector:
            return out
        for condition, block, above in zip(
            reversed(conditions), reversed(blocks[1:]), reversed(blocks[:-1]), strict=True
        ):
            above.extend([If(condition, tuple(block))] if condition and block else block)
        return out

    def _below(self, tile: Summing, axis: ir.Axis, offset: str) -> str:
        if isinstance(axis, ir.Dense):
            inside = standing(axis)
            return "" if inside is None else tile.plain(inside)
        return f"{offset} < {tile.at(length_of(axis), 2)}"

    # ------------------------------------------------------------- lanes

    def _inside(self, tile: Summing, block: list[Stmt], vector: bool) -> None:
        work = self.work
        if work.lanes is not None:
            self._lanes(tile, block, work.lanes, work.writes, vector)
            return
        axes = {w: frame(w.axis) for w in work.writes}
        own = [w for w in work.writes if len(axes[w]) == len(work.rows)]
        deeper = [w for w in work.writes if len(axes[w]) > len(work.rows)]
        if work.sequence is not None:
            self._folded(tile, work.sequence, deeper, own)
            self._stores(tile, tuple(own), block, tile.live(len(tile.levels)) if vector else "")
            return
        for w in own:
            for e in w.roots():
                tile.plain(e)
        groups: list[tuple[ir.Axis, list[Write]]] = []
        for w in deeper:
            last = axes[w][-1]
            for axis, group in groups:
                if same_lanes(axis, last):
                    group.append(w)
                    break
            else:
                groups.append((last, [w]))
        for axis, group in groups:
            if sequence(frame(axis), [e for w in group for e in w.roots()]) is not None:
                self._folded(tile, axis, group)
            else:
                self._lanes(tile, block, axis, tuple(group), vector)
        if work.in_order:
            block.append(Barrier())
        self._stores(tile, tuple(own), block, tile.live(len(tile.levels)) if vector else "")

    def _folded(
        self, tile: Summing, axis: ir.Axis, here: Iterable[Write], past: Iterable[Write] = ()
    ) -> None:
        """What is stored at the points of ``axis`` one after the other; ``past`` needs what comes out behind them."""
        writes, way = tuple(here), frame(axis)
        points = [e for w in writes for e in w.roots()]
        points += [c.bad for _, c in self.work.checks if frame(c.axis) == way]
        behind = [e for w in past for e in w.roots()]
        behind += [c.bad for _, c in self.work.checks if frame(c.axis) == way[:-1]]

        def stores(inner: Summing, body: list[Stmt]) -> None:
            self._stores(inner, writes, body, inner.live(len(inner.levels)))

        fold_loop(tile, axis, points, behind, stores)

    def _lanes(
        self,
        tile: Summing,
        block: list[Stmt],
        axis: ir.Axis,
        writes: tuple[Write, ...],
        vector: bool,
    ) -> None:
        work, shared = self.work, self.shared
        bound = shared.ranges.bound(axis)
        size = min(power(bound), work.tile)
        looped = bound > size
        name = shared.names.fresh(f"{axis.name}_offset")
        span = f"tl.arange(0, {size})" + ("[None, :]" if vector else "")
        body: list[Stmt] = [] if looped else block
        after: list[Stmt] = []
        length = tile.at(length_of(axis), 2)
        start = shared.names.fresh(f"{axis.name}_first") if looped else ""
        body.append(Let(name, f"{start} + {span}" if looped else span))
        exact = isinstance(axis, ir.Dense) and bound % size == 0 and standing(axis) is None
        alive = "" if exact else f"{name} < {length}"
        lanes = tile.below(Level(axis, name, alive, body, "lanes", size))
        assert isinstance(lanes, Summing)
        lanes.block_at = Block(
            tile.block_at.first if tile.block_at else "0",
            tile.block_at.row if tile.block_at else "",
            work.rows_per_program,
            (*self.widths, bound),
            (*(tile.block_at.offsets if tile.block_at else ()), name),
            has_lanes=True,
            carry=after if looped else None,
        )
        self._named_mask(lanes, body, f"{axis.name}_live")
        self._stores(lanes, writes, body, lanes.levels[-1].live)
        body.extend(after)
        if not looped:
            return
        stop = longest(tile, length_of(axis))
        ends = self._ends(tile, axis, writes)
        if ends:
            stop = f"tl.minimum({stop}, {ends})"
        first, step = "0", str(size)
        if work.splits > 1:
            first, step = f"split * {size}", str(size * work.splits)
        block.append(Loop(start, first, stop, step, tuple(body)))

    def _ends(self, tile: Summing, axis: ir.Axis, writes: tuple[Write, ...]) -> str:
        """Behind which place of a row no write stores anything; empty where some go on to its end."""
        if any(
            same_lanes(frame(c.axis)[-1], axis) for _, c in self.work.checks if c.axis is not None
        ):
            return ""
        ends: dict[str, None] = {}
        for w in writes:
            end = _end(w.where, axis)
            if end is None:
                return ""
            ends.setdefault(longest(tile, end))
        found = list(ends)
        while len(found) > 1:
            found = [f"tl.maximum({found[0]}, {found[1]})", *found[2:]]
        return found[0] if found else ""

    # ------------------------------------------------------------ stores

    def _stores(self, tile: Summing, writes: tuple[Write, ...], out: list[Stmt], live: str) -> None:
        stores: list[Stmt] = []
        for w in writes:
            where = _conjunction(w.where, members(w.axis))
            if isinstance(where, ir.Const):
                continue
            mask = joined(live, tile.plain(where) if where is not None else "")
            stores.extend(stored(tile, w, self._pointer(tile, w), mask))
        counts: list[Stmt] = []
        for number, check in self.work.checks:
            axes = frame(check.axis)
            if len(axes) == len(tile.levels) and all(
                same_lanes(a, level.axis) for a, level in zip(axes, tile.levels, strict=True)
            ):
                inside = members(check.axis)
                kept = tile.plain(inside) if inside is not None else ""
                bad = joined(live, kept, tile.plain(check.bad))
                # a promise that is broken whatever the data says
                bad = "tl.full((), True, tl.int1)" if bad == "True" else bad
                flag = f"{self.shared.use('flags_ptr')} + {number}"
                tiled = (shape(tile), loaded(tile)) if many(tile) else ()
                counts.append(Count(flag, bad, check.message, *tiled))
        if self.work.in_order and any(w.target is not None for w in writes) and tile.above:
            out.append(Barrier()) if len(tile.levels) > len(self.work.rows) else None
        out.extend(stores)
        out.extend(counts)

    def _pointer(self, tile: Summing, w: Write) -> str:
        pointer = self.shared.use(f"{w.buffer}_ptr")
        if w.target is not None:
            return f"{pointer} + {tile.address(w.target, w.at)}" if w.at else pointer
        assert w.position is not None
        place = tile.at(w.position, 6)
        return pointer if place == "0" else f"{pointer} + {place}"
