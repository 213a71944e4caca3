"""Plan IR: every output is a total function from the points of an axis to an integer.

    Plan    = (name, inputs: Input*, outputs: Output*, updates: Update*, checks: Check*)
    Input   = (name, dtype, dims, home: DEVICE | HOST | SCALAR, lo, hi, state)
    Axis    = Root(name, capacity)                              -- the requests
            | Dense(name, parent?, width)             -- `width` points under each row of the parent
            | Ragged(name, parent, length, most)      -- `length` points under each row, packed
            | Part(name, whole: Ragged, before, length)  -- a stretch of every row of `whole`
    Expr    = Const(value, dtype) | Size(axis) | Offset(axis) | Index(axis) | Cell()
            | Load(source, index*, guard?, other)     -- guard false: nothing is read
            | Bin(op, a, b) | Un(op, a) | Where(cond, then, other) | Cast(a, dtype)
            | Expect(a, lo, hi)                       -- clamped, and counted where the data breaks it
            | Scan(of, over)                          -- exclusive sum along the points of `over`
            | Reduce(op, of, over, to?)               -- over the points of `over` under a row of `to`
    Output  = (name, dtype, axis?, columns: Expr+, parts, fences, where?, tail: Tail)
    Tail    = Keep() | Fill(value, until?)            -- the cells beyond the live points
    Update  = (target: Input, index*, value, where?, axis?)   -- in place: reads old, writes new
    Check   = (axis?, bad, message)                   -- counted in the step's sticky flags

Nodes are frozen and compare by structure; ``loc`` is carried but never compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from metaplan.errors import Loc as Loc
from metaplan.nodes import COMPARISONS as COMPARISONS
from metaplan.nodes import DType as DType
from metaplan.nodes import Home as Home
from metaplan.nodes import Monoid as Monoid
from metaplan.nodes import Node as Node
from metaplan.nodes import Op as Op
from metaplan.terms import Axis as Axis
from metaplan.terms import Bin as Bin
from metaplan.terms import Cast as Cast
from metaplan.terms import Cell as Cell
from metaplan.terms import Const as Const
from metaplan.terms import Dense as Dense
from metaplan.terms import Expect as Expect
from metaplan.terms import Expr as Expr
from metaplan.terms import Index as Index
from metaplan.terms import Input as Input
from metaplan.terms import Load as Load
from metaplan.terms import Not as Not
from metaplan.terms import Offset as Offset
from metaplan.terms import Part as Part
from metaplan.terms import Ragged as Ragged
from metaplan.terms import Reduce as Reduce
from metaplan.terms import Root as Root
from metaplan.terms import Scan as Scan
from metaplan.terms import Size as Size
from metaplan.terms import Where as Where
from metaplan.terms import axes_in as axes_in
from metaplan.terms import axis_of as axis_of
from metaplan.terms import chain as chain
from metaplan.terms import children as children
from metaplan.terms import deeper as deeper
from metaplan.terms import dtype_of as dtype_of
from metaplan.terms import parent as parent
from metaplan.terms import rebuild as rebuild
from metaplan.terms import walk as walk

# ------------------------------------------------------------- the plan


@dataclass(frozen=True, slots=True, eq=False)
class Keep(Node):
    """Cells beyond the live points keep what was there."""


@dataclass(frozen=True, slots=True, eq=False)
class Undefined(Node):
    """Cells beyond the live points may hold anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Fill(Node):
    """Cells from the live points up to ``until`` points hold ``value``; those beyond keep theirs.

    ``value`` may name scalars, sizes and ``Cell()``. Without ``until``, up to the capacity.
    """

    value: Expr
    until: Expr | None = None


Tail: TypeAlias = Keep | Undefined | Fill


@dataclass(frozen=True, slots=True, eq=False)
class Output(Node):
    """A buffer: ``columns`` at each point of ``axis`` (one scalar cell without an axis).

    ``fences``: the buffer has one cell more, for the cut behind the last point. ``parts``: a value
    for each Part of ``axis``, instead of columns. ``where`` false: the cell keeps what was there.
    """

    name: str
    dtype: DType
    axis: Axis | None
    columns: tuple[Expr, ...]
    tail: Tail
    parts: tuple[tuple[Part, Expr], ...] = ()
    fences: bool = False
    where: Expr | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Update(Node):
    """``target[index] = value`` at every point of ``axis`` where ``where`` holds, in place."""

    name: str
    target: Input
    index: tuple[Expr, ...]
    value: Expr
    axis: Axis | None
    where: Expr | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Check(Node):
    """Counted in the step's flags at every point of ``axis`` where ``bad`` holds."""

    axis: Axis | None
    bad: Expr
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Plan(Node):
    name: str
    inputs: tuple[Input, ...]
    axes: tuple[Axis, ...]
    outputs: tuple[Output, ...]
    updates: tuple[Update, ...] = ()
    checks: tuple[Check, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()

    def size(self, dim: str | int) -> int:
        """The capacity of an axis or dimension; only after ``bind``."""
        return dim if isinstance(dim, int) else dict(self.sizes)[dim]

    def extents(self, source: Input) -> tuple[int, ...]:
        """How long each dimension of ``source`` is: a dense child behind its parent has its width."""
        axes = {a.name: a for a in self.axes}
        out: list[int] = []
        for at, dim in enumerate(source.dims):
            axis = axes.get(str(dim))
            row = axis.parent.name if isinstance(axis, Dense) and axis.parent is not None else None
            inside = row is not None and row in source.dims[:at]
            wide = axis.width if inside and isinstance(axis, Dense) else None
            out.append(wide if isinstance(wide, int) else self.size(dim))
        return tuple(out)

    def root_names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.axes if isinstance(a, Root))


def exprs(plan: Plan) -> Iterator[Expr]:
    """The expressions that a plan writes down itself, those of its axes included."""
    for axis in plan.axes:
        if isinstance(axis, Ragged | Part):
            yield axis.length
        if isinstance(axis, Part):
            yield axis.before
    for _, made in written(plan):
        yield from made
    for o in plan.outputs:
        if isinstance(o.tail, Fill):
            yield o.tail.value
            if o.tail.until is not None:
                yield o.tail.until


def written(plan: Plan) -> Iterator[tuple[Axis | None, tuple[Expr, ...]]]:
    """What each output, update and check computes for its points, and on which axis."""
    for o in plan.outputs:
        where = () if o.where is None else (o.where,)
        yield o.axis, (*o.columns, *where)
        for part, value in o.parts:
            yield part, (value,)
    for u in plan.updates:
        where = () if u.where is None else (u.where,)
        yield u.axis, (*u.index, u.value, *where)
    for c in plan.checks:
        yield c.axis, (c.bad,)
