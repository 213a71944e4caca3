"""Points with the same key, counted in blocks: the ranks and counts of many points compare those of one block only.

Compared one by one, ``n`` points take ``n * n`` steps for their ranks. One launch counts the keys of each block of points,
the next one sums these counts over the blocks before; a rank is that sum and what its own block adds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from metaplan import ir
from metaplan.ir import Op
from metaplan.looking import bound_elsewhere
from metaplan.passes.lazy import conjuncts
from metaplan.passes.room import grid
from metaplan.passes.simplify import stored_at
from metaplan.ranges import Ranges

MOST = 1024
"""Keys that a block is counted by at most: they lie in the lanes of a program."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """When points are counted in blocks of ``points``: where more than ``most`` pairs would be compared."""

    most: int
    points: int


@dataclass(frozen=True, slots=True)
class Same:
    """How many points of ``over`` have the ``key`` that is asked for, where ``where`` holds; ``earlier`` ones only."""

    over: ir.Axis
    key: ir.Expr
    asked: ir.Expr
    where: ir.Expr | None
    earlier: bool

    @property
    def keys(self) -> tuple[ir.Axis, ir.Expr, ir.Expr | None]:
        """What is counted, whoever asks."""
        return self.over, self.key, self.where


class Keeps(Protocol):
    """What a plan that is cut into launches does for this."""

    ranges: Ranges

    def value(self, e: ir.Expr, own: ir.Axis | None) -> ir.Expr: ...
    def swept(self, e: ir.Across, own: ir.Axis | None) -> ir.Expr: ...
    def tidy_index(self, axis: ir.Axis) -> ir.Expr: ...
    def name(self, wish: str) -> str: ...
    def source(self, e: ir.Expr, axis: ir.Axis | None) -> ir.Input: ...
    def store(
        self, name: str, value: ir.Expr, axis: ir.Axis, place: ir.Expr, cells: int
    ) -> ir.Input: ...


class Counting:
    """Rewrites the counts and ranks of one plan that are worth it."""

    def __init__(self, keeper: Keeps, plan: ir.Plan, blocks: Blocks) -> None:
        self.keeper, self.ranges, self.blocks = keeper, keeper.ranges, blocks
        every = (e for e in ir.walk(*ir.exprs(plan)) if isinstance(e, ir.Across))
        found = ((e, same(e, self.ranges)) for e in every)
        self._many = {s.keys for e, s in found if s is not None and self._pairs(e, s) > blocks.most}
        self._counts: dict[object, ir.Input] = {}
        self._before: dict[str, ir.Input] = {}

    def __call__(self, e: ir.Across, own: ir.Axis | None) -> ir.Expr | None:
        """``e`` at a point of ``own``, read off the counts of blocks; None where its points are compared one by one."""
        found = same(e, self.ranges)
        if found is None or found.keys not in self._many:
            return None
        keys, points = self._keys(found), self.ranges.points(found.over)
        if keys is None or points <= self.blocks.points:
            return None
        if found.earlier:
            return self._rank(found, *keys, e, own)
        return self._histogram(found, *keys, e)

    def _pairs(self, e: ir.Across, found: Same) -> int:
        """How often a key is compared; a key that is looked up counts for each array that it is read from."""
        lives = ir.axis_of(e)
        asking = 1 if lives is None else self.ranges.points(lives)
        reads = sum(isinstance(x, ir.Load) for x in ir.walk(found.key))
        return asking * self.ranges.points(found.over) * max(reads, 1)

    def _keys(self, found: Same) -> tuple[int, int] | None:
        """The lowest key that is counted, and how many there are."""
        spans = [self.ranges.of(found.key)]
        spans += [] if found.earlier else [self.ranges.of(found.asked)]
        return next(((s.lo, s.hi - s.lo + 1) for s in spans if s.hi - s.lo < MOST), None)

    def _many_blocks(self, over: ir.Axis) -> int:
        return -(-self.ranges.points(over) // self.blocks.points)

    def _counted(self, found: Same, lowest: int, keys: int) -> ir.Input:
        """A buffer with a row for each key: how many points of each block have it."""
        known = (*found.keys, lowest)
        if known not in self._counts:
            loc, many = found.key.loc.unnamed(), self._many_blocks(found.over)
            block = ir.Dense(f"{found.over.name}_block", None, many, loc=loc)
            key = ir.Dense(f"{found.over.name}_key", block, keys, loc=loc)
            first = _times(ir.Offset(block, loc=loc), self.blocks.points)
            wanted = ir.Given(_plus(ir.Offset(key, loc=loc), lowest), loc=loc)
            place = self.keeper.tidy_index(found.over)
            tests = [
                ir.Bin(Op.EQ, found.key, wanted, loc=loc),
                ir.Bin(Op.LE, ir.Given(first, loc=loc), place, loc=loc),
                ir.Bin(Op.LT, place, ir.Given(_plus(first, self.blocks.points), loc=loc), loc=loc),
                *([] if found.where is None else [found.where]),
            ]
            value = self.keeper.swept(_how_many(tests, found.over), key)
            at = _plus(_times(ir.Offset(key, loc=loc), many), ir.Offset(block, loc=loc))
            self._counts[known] = self._stored("counts", found, value, key, at, keys * many)
        return self._counts[known]

    def _stored(
        self, word: str, found: Same, value: ir.Expr, axis: ir.Axis, at: ir.Expr, cells: int
    ) -> ir.Input:
        name = self.keeper.name(f"{found.over.name}_{word}")
        return self.keeper.store(name, value, axis, at, cells)

    def _histogram(self, found: Same, lowest: int, keys: int, e: ir.Across) -> ir.Expr | None:
        """The counts of all blocks, summed up by each point that asks for its own place."""
        asks = ir.axis_of(e)
        if (
            not isinstance(asks, ir.Dense)
            or found.asked != self.keeper.tidy_index(asks)
            or asks.parent is not None
        ):
            return None
        loc, many = e.loc.unnamed(), self._many_blocks(found.over)
        counts, span = self._counted(found, lowest, keys), self.ranges.of(found.asked)
        block = ir.Dense(f"{asks.name}_block", asks, many, loc=loc)
        key, held = _plus(ir.Offset(asks, loc=loc), -lowest), None
        if span.lo < lowest or span.hi >= lowest + keys:
            bounds = ir.Const(0, loc=loc), ir.Const(keys, loc=loc)
            held = _all(
                [ir.Bin(Op.LE, bounds[0], key, loc=loc), ir.Bin(Op.LT, key, bounds[1], loc=loc)]
            )
        at = _plus(_times(key, many), ir.Offset(block, loc=loc))
        value = ir.Load(counts, (at,), held, loc=loc)
        return ir.Reduce(ir.Monoid.SUM, value, block, asks, loc=e.loc)

    def _rank(
        self, found: Same, lowest: int, keys: int, e: ir.Across, own: ir.Axis | None
    ) -> ir.Expr:
        """The counts of the blocks before, and of the points before in the same block."""
        if _looked_up(found.key):
            self.keeper.source(found.key, found.over)  # which the launches behind this one read
        loc, many = e.loc.unnamed(), self._many_blocks(found.over)
        counts, place = self._counted(found, lowest, keys), self.keeper.tidy_index(found.over)
        if counts.name not in self._before:
            key = ir.Dense(f"{found.over.name}_key", None, keys, loc=loc)
            block = ir.Dense(f"{found.over.name}_block", key, many, loc=loc)
            at = _plus(_times(ir.Offset(key, loc=loc), many), ir.Offset(block, loc=loc))
            value = ir.RowScan(ir.Load(counts, (at,), loc=loc), block, loc=loc)
            self._before[counts.name] = self._stored("before", found, value, block, at, keys * many)
        asked = _plus(self.keeper.value(found.asked, own), -lowest)
        number = ir.Bin(Op.DIV, place, ir.Const(self.blocks.points, loc=loc), loc=loc)
        cell = _plus(_times(asked, many), number)
        earlier = ir.Load(self._before[counts.name], (cell,), loc=loc)
        assert isinstance(e.of, ir.Cast)
        begin = ir.Given(_times(number, self.blocks.points), loc=loc)
        tests = [ir.Bin(Op.LE, begin, place, loc=loc), e.of.of]
        return ir.Bin(
            Op.ADD, earlier, self.keeper.swept(_how_many(tests, found.over), own), loc=e.loc
        )


def same(e: ir.Across, ranges: Ranges) -> Same | None:
    """What ``e`` counts, where it counts the points of one key."""
    match e:
        case ir.Across(ir.Monoid.SUM, ir.Cast(test, ir.DType.I32), over) if grid(over):
            tests = [t for t in conjuncts(test) if not (isinstance(t, ir.Bin) and t.op is Op.AND)]
        case _:
            return None
    keys = [found for t in tests for found in _equal(t)]
    earlier = [t for t in tests if _earlier(t, stored_at(over, ranges))]
    others = [t for t in tests if ir.asked(t) and t not in earlier]
    if len(keys) != 1 or len(others) != 1 or len(earlier) > 1:
        return None
    (key, asked) = keys[0]
    held = [t for t in tests if not ir.asked(t)]
    if (earlier and asked != key) or any(bound_elsewhere(t) for t in (key, *held)):
        return None
    return Same(over, key, asked, _all(held) if held else None, bool(earlier))


def _looked_up(key: ir.Expr) -> bool:
    """Whether one load has to wait for another."""
    loads = (e for e in ir.walk(key) if isinstance(e, ir.Load))
    return any(isinstance(e, ir.Load) for load in loads for e in ir.walk(*load.index))


def _equal(test: ir.Expr) -> Iterator[tuple[ir.Expr, ir.Expr]]:
    """A value of the points that are asked, and the int32 that it must be."""
    match test:
        case ir.Bin(Op.EQ, key, ir.Given(of)) | ir.Bin(Op.EQ, ir.Given(of), key):
            if not ir.asked(key) and ir.dtype_of(key) is ir.DType.I32:
                yield key, of
        case _:
            pass


def _earlier(test: ir.Expr, place: ir.Expr) -> bool:
    match test:
        case ir.Bin(Op.LT, lhs, ir.Given(of)):
            return lhs == place and of == place
        case _:
            return False


def _how_many(tests: list[ir.Expr], over: ir.Axis) -> ir.Across:
    number = ir.Cast(_all(tests), ir.DType.I32, loc=tests[0].loc)
    return ir.Across(ir.Monoid.SUM, number, over, loc=tests[0].loc)


def _all(tests: list[ir.Expr]) -> ir.Expr:
    made = tests[0]
    for t in tests[1:]:
        made = ir.Bin(Op.AND, made, t, loc=t.loc.unnamed())
    return made


def _times(e: ir.Expr, n: int) -> ir.Expr:
    return ir.Bin(Op.MUL, e, ir.Const(n, loc=e.loc), loc=e.loc.unnamed())


def _plus(e: ir.Expr, n: ir.Expr | int) -> ir.Expr:
    if n == 0:
        return e
    term = ir.Const(n, loc=e.loc) if isinstance(n, int) else n
    return ir.Bin(Op.ADD, e, term, loc=e.loc.unnamed())
