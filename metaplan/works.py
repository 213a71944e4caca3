"""What a schedule is made of: stores that share programs, the tails of buffers, sums prepared before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from metaplan import ir
from metaplan.ranges import Ranges
from metaplan.sums import frame
from metaplan.writes import Write


@dataclass(frozen=True, slots=True)
class Work:
    """Stores that run in the same programs: ``rows`` flattened axes, ``lanes`` along the last one.

    Without ``rows`` the lanes are the root's rows; without ``lanes`` each row is one point, and
    ``reduces`` says that a row is summed up over an axis below. The points of ``sequence`` come one
    after the other; ``whole``: all lanes of a row are in one tile. ``programs`` is for each of the
    ``copies`` whose lines are shared. ``packed``: the rows are the live points of a ragged axis one behind the
    other, and each looks up what it belongs to; else every row has room for its longest. ``stored``: only those that the
    buffers of that axis hold. ``tallies``: a program has one
    row, all of whose lanes are counted at once.
    """

    name: str
    rows: tuple[ir.Axis, ...]
    lanes: ir.Axis | None
    writes: tuple[Write, ...]
    checks: tuple[tuple[int, ir.Check], ...]
    rows_per_program: int = 1
    tile: int = 1
    splits: int = 1
    programs: int = 1
    in_order: bool = False
    reduces: bool = False
    sequence: ir.Axis | None = None
    whole: bool = False
    copies: tuple[ir.Which, ...] = ()
    packed: bool = False
    stored: bool = False
    tallies: bool = False

    @property
    def column(self) -> bool:
        """Whether several rows stand as a column beside lanes; else they are one vector."""
        beside = self.lanes is not None or self.reduces or self.in_order
        return self.rows_per_program > 1 and (beside or self.sequence is not None)

    @property
    def axes(self) -> tuple[ir.Axis, ...]:
        """The axes that its points are enumerated along."""
        last = self.lanes if self.lanes is not None else self.sequence
        return self.rows if last is None else (*self.rows, last)

    @property
    def roots(self) -> tuple[ir.Expr, ...]:
        """What it computes for its points."""
        stored = (e for w in self.writes for e in w.roots())
        return (*stored, *(c.bad for _, c in self.checks))

    def mapped(self, along: tuple[ir.Axis, ...], rule: Callable[[ir.Expr], ir.Expr]) -> Work:
        """The same work, with other expressions for the points of ``along``."""
        writes = (w.mapped(rule) if frame(w.axis) == along else w for w in self.writes)
        checks = (
            (n, replace(c, bad=rule(c.bad)) if frame(c.axis) == along else c)
            for n, c in self.checks
        )
        return replace(self, writes=tuple(writes), checks=tuple(checks))

    def widths(self, ranges: Ranges) -> tuple[int, ...]:
        return tuple(ranges.bound(a) for a in self.rows)


@dataclass(frozen=True, slots=True)
class Tail:
    """The cells beyond the live points of ``axis``, for every output that fills them.

    ``whole``: all cells, for outputs that a later launch scatters values into.
    """

    name: str
    axis: ir.Axis | None
    outputs: tuple[ir.Output, ...]
    tile: int
    programs: int
    whole: bool = False
    copies: tuple[ir.Which, ...] = ()


@dataclass(frozen=True, slots=True)
class Partial:
    """A running sum that a launch of its own prepares: one total for each block of ``rows`` rows of ``along``."""

    name: str
    scan: ir.Scan
    along: tuple[ir.Axis, ...]
    blocks: int
    rows: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """The works and tails of the last launch, and the sums that one before it prepares.

    ``reasons`` says why each choice was made.
    """

    plan: ir.Plan
    works: tuple[Work, ...]
    tails: tuple[Tail, ...]
    num_warps: int
    scan_tile: int
    reasons: tuple[tuple[str, str], ...]
    partials: tuple[Partial, ...] = ()
    kept: frozenset[str] = frozenset()
    """Buffers that one launch fills for a later one."""


def power(n: int) -> int:
    """The smallest power of two that is ``n`` or more."""
    return 1 << max(n - 1, 0).bit_length()


def same_lanes(a: ir.Axis, b: ir.Axis) -> bool:
    """Whether two axes have the same points: two parts of one length under one parent."""
    if a == b:
        return True
    if isinstance(a, ir.Ragged | ir.Part) and isinstance(b, ir.Ragged | ir.Part):
        return a.length == b.length and a.most == b.most and ir.parent(a) == ir.parent(b)
    return (
        isinstance(a, ir.Dense)
        and isinstance(b, ir.Dense)
        and (a.parent, a.width)
        == (
            b.parent,
            b.width,
        )
    )
