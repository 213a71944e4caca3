"""Expressions as text: each is computed once, on the coarsest level on which it has a value."""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import TypeAlias

from metaplan import ir
from metaplan.ir import DType, Op
from metaplan.lower import tables
from metaplan.lower.names import Names, stride_name
from metaplan.program import Let, Stmt
from metaplan.ranges import Ranges
from metaplan.schedule import Partial, same_lanes
from metaplan.sums import frame
from metaplan.text import ATOM, LEVEL

Text: TypeAlias = "tuple[str, int]"

LOOKS = ir.Scan | ir.Reduce | ir.RowScan | ir.Sort | ir.Fold | ir.Across | ir.Bisect
"""What has a value of its own here, whatever other points it is made of."""
TRITON = {d: "tl.int1" if d is DType.BOOL else f"tl.{d.value}" for d in DType}


@dataclass(slots=True)
class Level:
    """Points of one axis: its offset and which points are live, as text, where lines go, how many stand side by side."""

    axis: ir.Axis
    offset: str
    live: str
    block: list[Stmt]
    shape: str = "vector"
    count: int = 1


@dataclass(slots=True)
class Shared:
    """What all tiles of one region share."""

    plan: ir.Plan
    ranges: Ranges
    names: Names
    scan_tile: int
    partials: dict[ir.Scan, Partial] = field(default_factory=dict[ir.Scan, Partial])
    params: dict[str, None] = field(default_factory=dict[str, None])
    helpers: dict[str, None] = field(default_factory=dict[str, None])
    scalars: dict[ir.Expr, Text] = field(default_factory=dict[ir.Expr, Text])

    def use(self, param: str) -> str:
        self.params.setdefault(param)
        return param


def joined(*masks: str) -> str:
    """The conjunction of the masks that are there."""
    kept = [m for m in dict.fromkeys(masks) if m]
    if len(kept) <= 1:
        return "".join(kept)
    return " & ".join(m if m.isidentifier() else f"({m})" for m in kept)


class Tile:
    """The points that one program evaluates together: levels from the root down.

    ``prelude`` holds what is the same for all points. ``column``: rows are a column ``[ROWS, 1]`` and lanes a row
    ``[1, LANES]``, else the rows are scalars. ``where``: which rows, in names, if not the program's own.
    """

    def __init__(
        self,
        shared: Shared,
        prelude: list[Stmt],
        levels: Iterable[Level] = (),
        *,
        column: bool = False,
        memo: MutableMapping[ir.Expr, Text] | None = None,
        counts: Counter[ir.Expr] | None = None,
    ) -> None:
        self.shared, self.prelude, self.levels = shared, prelude, list(levels)
        self.column = column
        self.memo: MutableMapping[ir.Expr, Text] = {} if memo is None else memo
        self.counts: Counter[ir.Expr] = Counter() if counts is None else counts

    def below(self, level: Level, *, column: bool | None = None) -> Tile:
        """A tile with one more level; values of this one are known there, not the reverse."""
        memo: MutableMapping[ir.Expr, Text] = ChainMap({}, self.memo)  # pyright: ignore
        level.live = joined(self.live(len(self.levels)), level.live)
        tile = type(self)(
            self.shared,
            self.prelude,
            (*self.levels, level),
            column=self.column if column is None else column,
            memo=memo,
            counts=self.counts,
        )
        tile.above, tile.where = self, self.where
        return tile

    above: Tile | None = None
    where: str = ""

    def expect(self, roots: Iterable[ir.Expr]) -> None:
        """Counts how often each expression will be used, to decide which are named."""
        seen: set[ir.Expr] = set()
        stack: list[ir.Expr] = []
        for root in roots:
            self.counts[root] += 1
            stack.append(root)
        while stack:
            e = stack.pop()
            if e in seen:
                continue
            seen.add(e)
            below = _beside(e)
            self.counts.update(below)
            stack += below

    # ------------------------------------------------------------ levels

    def depth(self, e: ir.Expr) -> int:
        """The number of levels that a value of ``e`` depends on."""
        axes = frame(ir.axis_of(e))
        if not axes:
            return 0
        for at, level in enumerate(self.levels):
            if same_lanes(level.axis, axes[-1]):
                return at + 1
        raise AssertionError(f"{axes[-1].name} is not enumerated here")

    def live(self, depth: int) -> str:
        """The mask of the points that are live down to ``depth``; empty where all are."""
        return self.levels[depth - 1].live if depth else ""

    def _shape(self, depth: int) -> str:
        return self.levels[depth - 1].shape if depth else "scalar"

    def shapes(self, exprs: Iterable[ir.Expr]) -> set[str]:
        """Along which levels of the tile ``exprs`` differ, as text."""
        deep: set[int] = set()
        stack, seen = list(exprs), set[ir.Expr]()
        while stack:
            e = stack.pop()
            if e in seen:
                continue
            seen.add(e)
            if (own := self.alone(e)) is not None:
                stack.append(own)
            elif isinstance(e, LOOKS | ir.Offset):
                deep.add(0 if self.alike(e) else self.depth(e))
            else:
                # what is read at an index has as many pointers as its mask has places
                deep |= {self.depth(e)} if isinstance(e, ir.Load) and e.index else set()
                stack += ir.children(e)
        return {self._shape(depth) for depth in deep} - {"scalar"}

    def alone(self, e: ir.Expr) -> ir.Expr | None:
        """The only value that ``e`` combines, where a row has one."""
        return None

    def alike(self, e: ir.Expr) -> bool:
        """Whether ``e``, as text, is one number for all rows of the tile."""
        return False

    def owner(self, depth: int) -> Tile:
        """The tile whose deepest level is ``depth``: where a value of that depth is remembered."""
        tile = self
        while tile.above is not None and depth <= len(tile.above.levels):
            tile = tile.above
        return tile

    def block(self, depth: int) -> list[Stmt]:
        return self.prelude if depth == 0 else self.levels[depth - 1].block

    # ------------------------------------------------------- expressions

    def text(self, e: ir.Expr) -> Text:
        """``e`` as text and how tightly it binds; named first where it is used again."""
        depth = self.depth(e)
        memo = self.shared.scalars if depth == 0 else self.owner(depth).memo
        if e not in memo:
            made = self.compute(e)
            known = made[0].isidentifier()
            memo[e] = self.name(e, made[0]) if self._named(e) and not known else made
        return memo[e]

    def name(self, e: ir.Expr, value: str) -> Text:
        names, depth = self.shared.names, self.depth(e)
        name = names.fresh(names.wish(e) or _plain(e), self.where if depth else "")
        self.block(depth).append(Let(name, tensor(value, e), names.note(e)))
        return name, ATOM

    def at(self, e: ir.Expr, level: int) -> str:
        """``e`` as an operand of an operator that binds as tightly as ``level``."""
        text, own = self.text(e)
        return f"({text})" if own < level else text

    def plain(self, e: ir.Expr) -> str:
        return self.text(e)[0]

    def typed(self, e: ir.Expr) -> str:
        """``e`` where nothing beside it says its dtype: Triton takes a small number for an int32."""
        match e:
            case ir.Const(value, DType.I64 | DType.U8 | DType.U16 as dtype):
                return f"tl.full((), {value}, {TRITON[dtype]})"
            case _:
                return self.plain(e)

    def _named(self, e: ir.Expr) -> bool:
        match e:
            case ir.Const() | ir.Offset() | ir.Cell() | ir.Scan() | ir.Reduce():
                return False
            # how many points are always live is a number
            case ir.Size(ir.Dense(_, None)):
                return False
            case ir.Load() | ir.Size():
                return True
            case _:
                return self.counts[e] > 1 or self.shared.names.wish(e) is not None

    def compute(self, e: ir.Expr) -> Text:
        match e:
            case ir.Const(value, dtype):
                if dtype is DType.BOOL:
                    return str(bool(value)), ATOM
                return (str(value), ATOM) if value >= 0 else (str(value), 8)
            case ir.Offset():
                return self.levels[self.depth(e) - 1].offset, ATOM
            case ir.Cell():
                return "cell", ATOM
            case ir.Size(axis):
                return self.size(axis), ATOM
            case ir.Load():
                return self.load(e), ATOM
            case ir.Bin(op, lhs, rhs):
                return self.binary(op, lhs, rhs)
            case ir.Not(of):
                return f"~{self.at(of, ATOM)}", 8
            case ir.Where(cond, then, other):
                alone = isinstance(other, ir.Const)
                first = self.plain(cond), self.typed(then) if alone else self.plain(then)
                return f"tl.where({', '.join(first)}, {self.plain(other)})", ATOM
            case ir.Cast(of, dtype):
                return f"{tensor(self.at(of, ATOM), of)}.to({TRITON[dtype]})", ATOM
            case ir.Scan(of, over):
                return self.scan(e, of, over)
            case ir.Reduce():
                return self.reduce(e)
            case ir.Choice(of, values):
                return self.choice(of, values)
            case ir.RowScan() | ir.Sort():
                return self.along_row(e)
            case ir.Fold() | ir.Carry():
                return self.folded(e)
            case ir.Bisect() | ir.Trial():
                return self.searched(e)
            case ir.Across() | ir.Given():
                return self.swept(e)
            case ir.Which():
                return self.which(e)
            case ir.Index() | ir.Expect() | ir.At() | ir.Distinct():
                raise AssertionError(f"{type(e).__name__} is gone after the passes")

    def size(self, axis: ir.Axis) -> str:
        if isinstance(axis, ir.Root):
            live = f"tl.load({self.shared.use(f'{axis.name}_size_ptr')})"
            return f"tl.minimum({live}, {axis.capacity})"
        if isinstance(axis, ir.Dense):
            if axis.parent is None:
                return str(axis.width)
            return f"{self.plain(ir.Size(axis.parent))} * {axis.width}"
        return self.plain(total_of(axis))

    def load(self, e: ir.Load) -> str:
        source = e.source
        pointer = self.pointer(source, e.index)
        if not e.index:
            return f"tl.load({pointer})"
        address = f"{pointer} + {self.address(source, e.index)}"
        own = self.depth(e)
        if self._shape(own) not in ("scalar", *self.shapes(e.index)):
            address += f" + tl.zeros_like({self.levels[own - 1].offset})"
        guard = self.plain(e.guard) if e.guard is not None else ""
        mask = joined(self.live(self.depth(e)), guard)
        if not mask:
            return f"tl.load({address})"
        return f"tl.load({address}, mask={mask}, other={e.other})"

    def pointer(self, source: ir.Input, index: tuple[ir.Expr, ...]) -> str:
        """Where ``source`` begins; of a list, the tensor that ``index`` chooses."""
        if not source.each:
            return self.shared.use(f"{source.name}_ptr")
        found = tables.entry(self.shared.names, source, index[0], 0)
        return f"{self.at(found, ATOM)}.to(tl.pointer_type({TRITON[source.dtype]}))"

    def address(self, source: ir.Input, index: tuple[ir.Expr, ...]) -> str:
        """The element ``index`` of ``source`` as an offset from its pointer."""
        if source.each:
            return self._address_of_each(source, index)
        elements = 1
        for extent in self.shared.plan.extents(source):
            elements *= extent
        terms: list[str] = []
        for at, i in enumerate(index[:-1]):
            stride = self.shared.use(stride_name(source, at))
            row = self.at(i, 7)
            if elements >= 1 << 31 and ir.dtype_of(i) is not DType.I64:
                row = f"{self.at(i, ATOM)}.to(tl.int64)"
            terms.append(f"{row} * {stride}")
        return " + ".join([*terms, self.at(index[-1], 6)])

    def _address_of_each(self, source: ir.Input, index: tuple[ir.Expr, ...]) -> str:
        terms: list[str] = []
        for at, i in enumerate(index[1:-1], 1):
            stride = tables.entry(self.shared.names, source, index[0], at)
            terms.append(f"{self.at(i, 7)} * {self.at(stride, 8)}")
        return " + ".join([*terms, self.at(index[-1], 6)])

    def binary(self, op: Op, lhs: ir.Expr, rhs: ir.Expr) -> Text:
        if op in (Op.MIN, Op.MAX):
            return f"tl.{op.value}imum({self.plain(lhs)}, {self.plain(rhs)})", ATOM
        if op in (Op.DIV, Op.MOD) and self.shared.ranges.of(lhs).lo < 0:
            return self.floored(op, lhs, rhs)
        own = LEVEL[op]
        left = self.at(lhs, own + (op in ir.COMPARISONS))
        return f"{left} {op.value} {self.at(rhs, own + 1)}", own

    def floored(self, op: Op, lhs: ir.Expr, rhs: ir.Expr) -> Text:
        """Division that may see a negative number: Triton truncates, the language floors."""
        match rhs:
            case ir.Const(n) if n & (n - 1) == 0 and op is Op.DIV:
                return f"{self.at(lhs, ATOM)} >> {n.bit_length() - 1}", 5
            case ir.Const(n) if n & (n - 1) == 0:
                return f"{self.at(lhs, ATOM)} & {n - 1}", 4
            case _:
                helper = "floor_div" if op is Op.DIV else "floor_mod"
                self.shared.helpers.setdefault(helper)
                return f"{helper}({self.plain(lhs)}, {self.plain(rhs)})", ATOM

    def scan(self, e: ir.Expr, of: ir.Expr, over: ir.Axis) -> Text:
        raise AssertionError("a running sum inside a running sum")

    def reduce(self, e: ir.Reduce) -> Text:
        raise AssertionError("a reduction where none was scheduled")

    def choice(self, of: ir.Expr, values: tuple[int, ...]) -> Text:
        """Constants by their index: the last one where no other is chosen."""
        place, text = self.at(of, 2), str(values[-1])
        for at in reversed(range(len(values) - 1)):
            text = f"tl.where({place} == {at}, {values[at]}, {text})"
        return text, ATOM

    def along_row(self, e: ir.RowScan | ir.Sort) -> Text:
        raise AssertionError("a row where none was scheduled")

    def folded(self, e: ir.Fold | ir.Carry) -> Text:
        raise AssertionError("a fold where none was scheduled")

    def searched(self, e: ir.Bisect | ir.Trial) -> Text:
        raise AssertionError("a search where none was scheduled")

    def swept(self, e: ir.Across | ir.Given) -> Text:
        raise AssertionError("a sweep where none was scheduled")

    def which(self, e: ir.Which) -> Text:
        raise AssertionError("a copy where none was scheduled")


def _beside(e: ir.Expr) -> tuple[ir.Expr, ...]:
    """What is computed where ``e`` is; a loop of its own counts what it computes."""
    match e:
        case ir.Fold(_, inits):
            return inits
        case ir.Bisect(lo, hi):
            return (lo, hi)
        case _:
            return ir.children(e)


def tensor(text: str, e: ir.Expr) -> str:
    """``text`` of ``e`` as a tensor, which a number alone is not."""
    named = any(c.isalpha() for c in text)
    return text if named else f"tl.full((), {text}, {TRITON[ir.dtype_of(e)]})"


def total_of(axis: ir.Ragged | ir.Part) -> ir.Reduce:
    """How many points of ``axis`` are live: the sum of its lengths."""
    return ir.Reduce(ir.Monoid.SUM, axis.length, axis.parent, None, loc=axis.loc)


def _plain(e: ir.Expr) -> str:
    match e:
        case ir.Bin(Op.LT | Op.LE | Op.EQ | Op.NE | Op.AND | Op.OR) | ir.Not():
            return "holds"
        case _:
            axis = ir.axis_of(e)
            return f"{axis.name}_value" if axis is not None else "value"
