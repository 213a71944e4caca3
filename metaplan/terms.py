"""Axes and expressions: the nodes of the grammar in ir.py that stand for points and their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from metaplan.nodes import DType, Home, Monoid, Node, Op


@dataclass(frozen=True, slots=True, eq=False)
class Input(Node):
    """An array that the plan reads: ``dims`` are axis names, free names or sizes, first to last."""

    name: str
    dtype: DType
    dims: tuple[str | int, ...]
    home: Home = Home.DEVICE
    lo: int | None = None
    hi: int | None = None
    state: bool = False
    distinct: bool = False
    each: bool = False
    """A tensor of its own for each number of the first dimension."""

    @property
    def shape(self) -> str:
        dims = ", ".join(map(str, self.dims[self.each :])) or "1"
        listed = f" for each {self.dims[0]}" if self.each else ""
        return f"{self.dtype.value}[{dims}]{listed}"


# ------------------------------------------------------------------ axes


@dataclass(frozen=True, slots=True, eq=False)
class Root(Node):
    """Rows with nothing above them; their live number is a device scalar."""

    name: str
    capacity: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dense(Node):
    """``width`` points under each row of ``parent``; a name of a size until ``compile`` binds it."""

    name: str
    parent: Axis | None
    width: int | str


@dataclass(frozen=True, slots=True, eq=False)
class Ragged(Node):
    """``length`` points under each row of ``parent``, packed one row after the other.

    ``most`` is the user's bound on a length, ``capacity`` the number of points that are stored.
    """

    name: str
    parent: Axis
    length: Expr
    most: int | None = None
    capacity: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Part(Node):
    """The points ``before .. before + length`` of every row of ``whole``."""

    name: str
    whole: Ragged
    before: Expr
    length: Expr
    most: int | None = None

    @property
    def parent(self) -> Axis:
        return self.whole.parent


Axis: TypeAlias = Root | Dense | Ragged | Part


# ----------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True, eq=False)
class Const(Node):
    value: int
    dtype: DType = DType.I32


@dataclass(frozen=True, slots=True, eq=False)
class Size(Node):
    """How many points of ``axis`` are live in this step."""

    axis: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Offset(Node):
    """This point's place among its siblings under one row of the parent."""

    axis: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Index(Node):
    """This point's place among all points of ``axis``: where its values are stored."""

    axis: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Cell(Node):
    """In a tail: the index of the cell that is being filled, 0 to ``last`` once capacities are bound."""

    last: int = DType.I32.hi


@dataclass(frozen=True, slots=True, eq=False)
class Load(Node):
    """An element of ``source``; where ``guard`` is false nothing is read and it is ``other``."""

    source: Input
    index: tuple[Expr, ...]
    guard: Expr | None = None
    other: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Bin(Node):
    op: Op
    lhs: Expr
    rhs: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Not(Node):
    """Logical not of a bool, bitwise not of an integer."""

    of: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Where(Node):
    """``then`` where ``cond`` holds, else ``other``; the side not taken reads nothing."""

    cond: Expr
    then: Expr
    other: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Node):
    """``of`` in another dtype; ``wraps``: of a number that does not fit, the lower bits."""

    of: Expr
    dtype: DType
    wraps: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Expect(Node):
    """``of``, which the data promises to lie in [lo, hi]; clamped and counted where it does not."""

    of: Expr
    lo: int
    hi: int


@dataclass(frozen=True, slots=True, eq=False)
class Scan(Node):
    """Exclusive sum of ``of`` along ``over``: the value at a point leaves the point out."""

    of: Expr
    over: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Reduce(Node):
    """``of`` combined over the points of ``over`` under one row of ``to``, or all points."""

    op: Monoid
    of: Expr
    over: Axis
    to: Axis | None


@dataclass(frozen=True, slots=True, eq=False)
class RowScan(Node):
    """Exclusive sum of ``of`` along the points of ``over`` under one row: it restarts at every row."""

    of: Expr
    over: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Given(Node):
    """Inside an Across: the value of ``of`` at the point that asks."""

    of: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Across(Node):
    """``of`` combined over all live points of ``over``, for every point that asks.

    ``of`` lives on ``over``; what it takes from the point that asks is inside ``Given``.
    """

    op: Monoid
    of: Expr
    over: Axis


@dataclass(frozen=True, slots=True, eq=False)
class At(Node):
    """The value of ``of`` at the point ``index`` of ``axis``; ``other`` where no live point is."""

    of: Expr
    axis: Axis
    index: Expr
    other: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Choice(Node):
    """The constant ``values[of]``; ``of`` lies in 0..len(values) - 1."""

    of: Expr
    values: tuple[int, ...]
    dtype: DType = DType.I32


@dataclass(frozen=True, slots=True, eq=False)
class Which(Node):
    """The number of the copy of the plan that computes: 0..count - 1, the same for all of its points."""

    name: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class Trial(Node):
    """Inside the condition of a Bisect: the number that is tried, from ``lo`` to ``hi``."""

    number: int
    lo: Expr
    hi: Expr


@dataclass(frozen=True, slots=True, eq=False)
class Bisect(Node):
    """The smallest number from ``lo`` to ``hi`` for which ``cond`` holds; ``hi`` where none does.

    ``cond`` never holds below a number for which it fails above: it is monotone in ``trial``.
    """

    lo: Expr
    hi: Expr
    cond: Expr
    trial: Trial


@dataclass(frozen=True, slots=True, eq=False)
class Carry(Node):
    """Inside the step of a Fold: what the points before have left in place ``at``."""

    number: int
    at: int
    lo: int
    hi: int
    dtype: DType = DType.I32
    name: str = field(default="carry", compare=False)


class When(Enum):
    """Of what is carried along an axis: which moment of it a value is."""

    BEFORE = "before"
    AFTER = "after"
    LAST = "last"


@dataclass(frozen=True, slots=True, eq=False)
class Fold(Node):
    """What is carried along the points of ``axis`` under one row, in place ``at``.

    ``init`` is on the parent of ``axis``; each point replaces all carries by ``steps``. BEFORE and AFTER live on
    ``axis``, LAST on its parent.
    """

    axis: Axis
    inits: tuple[Expr, ...]
    steps: tuple[Expr, ...]
    carries: tuple[Carry, ...]
    at: int
    when: When


@dataclass(frozen=True, slots=True, eq=False)
class Sort(Node):
    """``of`` in the order of its numbers along each row of ``over``: at place j the j-th of them."""

    of: Expr
    over: Axis
    descending: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Distinct(Node):
    """``of``, of which no two points under one row of ``per`` (of all) have the same value."""

    of: Expr
    per: Axis | None = None


Expr: TypeAlias = (
    Const
    | Size
    | Offset
    | Index
    | Cell
    | Load
    | Bin
    | Not
    | Where
    | Cast
    | Expect
    | Scan
    | Reduce
    | RowScan
    | Given
    | Across
    | At
    | Choice
    | Which
    | Trial
    | Bisect
    | Carry
    | Fold
    | Sort
    | Distinct
)
