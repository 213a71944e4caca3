"""Plan IR: every output is a total function from the points of an axis to an integer.

    Plan    = (name, inputs: Input*, outputs: Output*, updates: Update*, checks: Check*, copies: Which*)
    Input   = (name, dtype, dims, home: DEVICE | HOST | SCALAR, lo, hi, state, each)
    Axis    = Root(name, capacity)                              -- the requests
            | Dense(name, parent?, width)             -- `width` points under each row of the parent
            | Ragged(name, parent, length, most)      -- `length` points under each row, packed
            | Part(name, whole: Ragged, before, length)  -- a stretch of every row of `whole`
    Expr    = Const(value, dtype) | Size(axis) | Offset(axis) | Index(axis) | Cell()
            | Load(source, index*, guard?, other)     -- guard false: nothing is read
            | Bin(op, a, b) | Not(a) | Where(cond, then, other) | Cast(a, dtype)
            | Expect(a, lo, hi)                       -- clamped, and counted where the data breaks it
            | Distinct(a)                             -- no two points have the same value
            | Choice(a, values)                       -- the constant values[a]
            | Which(name, count)                      -- which copy of the plan computes
            | Scan(of, over)                          -- exclusive sum along the points of `over`
            | RowScan(of, over)                       -- the same, restarting at every row
            | Sort(of, over)                          -- a row in the order of its numbers
            | Reduce(op, of, over, to?)               -- over the points of `over` under a row of `to`
            | Across(op, of, over), Given(a)          -- over all of `over`, for each point that asks
            | At(of, axis, index)                     -- a computed value at another point
            | Bisect(lo, hi, cond, Trial)             -- the smallest number for which `cond` holds
            | Fold(axis, inits, steps, Carry*, at, when)  -- a carry from point to point
    Output  = (name, dtype, axis?, columns: Expr+, parts, fences, where?, tail: Tail, put?, copies)
    Put     = (axis?, index, combine)                 -- scattered: where a point's value goes
    Tail    = Keep() | Fill(value, until?)            -- the cells beyond the live points
    Update  = (target: Input, index*, value, where?, axis?, combine)  -- in place: reads old, writes new
    Check   = (axis?, bad, message)                   -- counted in the step's sticky flags
    Opaque  = (name, texts, Read*, writes, programs)  -- a kernel of the user's own

Nodes are frozen and compare by structure; ``loc`` is carried but never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from metaplan.errors import Loc as Loc
from metaplan.nodes import COMPARISONS as COMPARISONS
from metaplan.nodes import DType as DType
from metaplan.nodes import Home as Home
from metaplan.nodes import Monoid as Monoid
from metaplan.nodes import Node as Node
from metaplan.nodes import Op as Op
from metaplan.terms import Across as Across
from metaplan.terms import At as At
from metaplan.terms import Axis as Axis
from metaplan.terms import Bin as Bin
from metaplan.terms import Bisect as Bisect
from metaplan.terms import Carry as Carry
from metaplan.terms import Cast as Cast
from metaplan.terms import Cell as Cell
from metaplan.terms import Choice as Choice
from metaplan.terms import Const as Const
from metaplan.terms import Dense as Dense
from metaplan.terms import Distinct as Distinct
from metaplan.terms import Expect as Expect
from metaplan.terms import Expr as Expr
from metaplan.terms import Fold as Fold
from metaplan.terms import Given as Given
from metaplan.terms import Index as Index
from metaplan.terms import Input as Input
from metaplan.terms import Load as Load
from metaplan.terms import Not as Not
from metaplan.terms import Offset as Offset
from metaplan.terms import Part as Part
from metaplan.terms import Ragged as Ragged
from metaplan.terms import Reduce as Reduce
from metaplan.terms import Root as Root
from metaplan.terms import RowScan as RowScan
from metaplan.terms import Scan as Scan
from metaplan.terms import Size as Size
from metaplan.terms import Sort as Sort
from metaplan.terms import Trial as Trial
from metaplan.terms import When as When
from metaplan.terms import Where as Where
from metaplan.terms import Which as Which
from metaplan.walking import asked as asked
from metaplan.walking import axes_in as axes_in
from metaplan.walking import axis_of as axis_of
from metaplan.walking import chain as chain
from metaplan.walking import children as children
from metaplan.walking import complete as complete
from metaplan.walking import deeper as deeper
from metaplan.walking import dtype_of as dtype_of
from metaplan.walking import near as near
from metaplan.walking import parent as parent
from metaplan.walking import rebuild as rebuild
from metaplan.walking import top as top
from metaplan.walking import tried as tried
from metaplan.walking import walk as walk

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


class Combine(Enum):
    """What becomes of an element that several points write; the value is the word in the language.

    ONLY: the plan shows that no two do. DISTINCT: it promises that.
    """

    ONLY = "only"
    DISTINCT = "distinct"
    ADD = "add"
    MAX = "max"
    MIN = "min"
    OR = "or"
    LAST = "last"


@dataclass(frozen=True, slots=True, eq=False)
class Put(Node):
    """The values of ``axis`` go to the points ``index`` of a buffer, where such points exist.

    ``index`` is one number, or the row and the place in it where the buffer has rows.
    """

    axis: Axis | None
    index: tuple[Expr, ...]
    combine: Combine


@dataclass(frozen=True, slots=True, eq=False)
class Output(Node):
    """A buffer: ``columns`` at each point of ``axis`` (one scalar cell without an axis).

    ``fences``: the buffer has one cell more, for the cut behind the last point. ``parts``: a value
    for each Part of ``axis``, instead of columns. ``where`` false: the cell keeps what was there.
    ``put``: the buffer has the shape of ``axis``, and the one column is scattered into it; a Fill
    is what all cells hold before. ``copies``: the leading dimensions of the buffer, for each which
    number of how many this output fills.
    """

    name: str
    dtype: DType
    axis: Axis | None
    columns: tuple[Expr, ...]
    tail: Tail
    parts: tuple[tuple[Part, Expr], ...] = ()
    fences: bool = False
    where: Expr | None = None
    put: Put | None = None
    copies: tuple[tuple[Expr, int], ...] = ()

    @property
    def source(self) -> Axis | None:
        """The axis at whose points the values are computed."""
        return self.axis if self.put is None else self.put.axis

    @property
    def width(self) -> int:
        """Cells of a row of the buffer; 1 where it has no rows."""
        rows = isinstance(self.axis, Dense) and self.axis.parent is not None
        return self.axis.width if rows and isinstance(self.axis.width, int) else 1  # pyright: ignore


@dataclass(frozen=True, slots=True, eq=False)
class Update(Node):
    """``target[index] = value`` at every point of ``axis`` where ``where`` holds, in place."""

    name: str
    target: Input
    index: tuple[Expr, ...]
    value: Expr
    axis: Axis | None
    where: Expr | None = None
    combine: Combine = Combine.ONLY


@dataclass(frozen=True, slots=True, eq=False)
class Check(Node):
    """Counted in the step's flags at every point of ``axis`` where ``bad`` holds."""

    axis: Axis | None
    bad: Expr
    message: str
    number: int = -1


class Held(Enum):
    """What a kernel of the user's own reads."""

    INPUT = "input"
    LIVE = "live"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, eq=False)
class Read(Node):
    """An input, the live number of a root axis, or an output that a launch before has made."""

    kind: Held
    name: str
    dtype: DType
    dims: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Opaque(Node):
    """``programs`` programs of a kernel of the user's own, the last of ``texts``, fill the outputs ``writes``.

    ``writes``: what the kernel calls each, and the name of the output. ``programs``: a number, or the name of an
    axis for each of its capacity. ``meaning`` is the same in NumPy.
    """

    name: str
    texts: tuple[tuple[str, str], ...]
    reads: tuple[Read, ...]
    writes: tuple[tuple[str, str], ...]
    programs: int | str
    meaning: Callable[..., None] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Plan(Node):
    name: str
    inputs: tuple[Input, ...]
    axes: tuple[Axis, ...]
    outputs: tuple[Output, ...]
    updates: tuple[Update, ...] = ()
    checks: tuple[Check, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()
    copies: tuple[Which, ...] = ()
    opaques: tuple[Opaque, ...] = ()

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


def put_extents(plan: Plan, o: Output) -> tuple[int, ...]:
    """How far each index of a scattered output goes."""
    assert o.axis is not None
    assert o.put is not None
    cells = plan.size(o.axis.name)
    return (cells,) if len(o.put.index) == 1 else (cells // o.width, o.width)


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
        place = () if o.put is None else o.put.index
        yield o.source, (*o.columns, *where, *place)
        for part, value in o.parts:
            yield part, (value,)
    for u in plan.updates:
        where = () if u.where is None else (u.where,)
        yield u.axis, (*u.index, u.value, *where)
    for c in plan.checks:
        yield c.axis, (c.bad,)
