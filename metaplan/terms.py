"""Axes and expressions, and how to walk them: the lower half of the grammar in ir.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias

from metaplan.nodes import COMPARISONS, UNKNOWN, DType, Home, Monoid, Node, Op


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
    """In a tail: the index of the cell that is being filled."""


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


# ------------------------------------------------------------ traversal


def children(e: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside ``e``; those inside its axes are not among them."""
    match e:
        case Const() | Size() | Offset() | Index() | Cell() | Which() | Carry():
            return ()
        case Load(_, index, guard):
            return index if guard is None else (*index, guard)
        case Bin(_, lhs, rhs):
            return (lhs, rhs)
        case Where(cond, then, other):
            return (cond, then, other)
        case Not(of) | Cast(of) | Expect(of) | Scan(of) | Reduce(_, of) | RowScan(of):
            return (of,)
        case Given(of) | Across(_, of) | Choice(of) | Sort(of) | Distinct(of):
            return (of,)
        case At(of, _, index):
            return (of, index)
        case Trial(_, lo, hi):
            return (lo, hi)
        case Bisect(lo, hi, cond, trial):
            return (lo, hi, cond, trial)
        case Fold(_, inits, steps):
            return (*inits, *steps)


def rebuild(e: Expr, new: tuple[Expr, ...]) -> Expr:
    """``e`` over new children; ``e`` itself, with its loc, when nothing changed."""
    if all(a is b for a, b in zip(new, children(e), strict=True)):
        return e
    match e:
        case Load(_, index, guard):
            at = len(index)
            return replace(e, index=new[:at], guard=None if guard is None else new[at])
        case Bin():
            return replace(e, lhs=new[0], rhs=new[1])
        case Where():
            return replace(e, cond=new[0], then=new[1], other=new[2])
        case Not() | Cast() | Expect() | Scan() | Reduce() | RowScan():
            return replace(e, of=new[0])
        case Given() | Across() | Choice() | Sort() | Distinct():
            return replace(e, of=new[0])
        case At():
            return replace(e, of=new[0], index=new[1])
        case Trial():
            return replace(e, lo=new[0], hi=new[1])
        case Bisect():
            assert isinstance(new[3], Trial)
            return replace(e, lo=new[0], hi=new[1], cond=new[2], trial=new[3])
        case Fold(_, inits):
            return replace(e, inits=new[: len(inits)], steps=new[len(inits) :])
        case Const() | Size() | Offset() | Index() | Cell() | Which() | Carry():
            return e


def axes_in(e: Expr) -> tuple[Axis, ...]:
    """The axes that ``e`` itself names."""
    match e:
        case Size(axis) | Offset(axis) | Index(axis):
            return (axis,)
        case Scan(_, over) | RowScan(_, over) | Across(_, _, over) | Sort(_, over):
            return (over,)
        case At(_, axis) | Fold(axis):
            return (axis,)
        case Distinct(_, Root() | Dense() | Ragged() | Part() as per):
            return (per,)
        case Reduce(_, _, over, to):
            return (over,) if to is None else (over, to)
        case _:
            return ()


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every distinct expression below ``roots``, children first: the order in which values exist."""
    seen: set[Expr] = set()

    def visit(e: Expr) -> Iterator[Expr]:
        if e in seen:
            return
        seen.add(e)
        for c in children(e):
            yield from visit(c)
        yield e

    for root in roots:
        yield from visit(root)


def near(*roots: Expr) -> Iterator[Expr]:
    """Every distinct expression below ``roots`` but those of a swept axis: what the points themselves compute."""
    seen: set[Expr] = set()
    stack = list(roots)
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        yield e
        stack += [g.of for g in asked(e.of)] if isinstance(e, Across) else children(e)


def parent(axis: Axis) -> Axis | None:
    match axis:
        case Root():
            return None
        case Dense(_, above) | Ragged(_, above):
            return above
        case Part():
            return axis.parent


def chain(axis: Axis | None) -> tuple[Axis, ...]:
    """From the root down to ``axis``."""
    out: list[Axis] = []
    while axis is not None:
        out.append(axis)
        axis = parent(axis)
    return tuple(reversed(out))


def dtype_of(e: Expr) -> DType:
    match e:
        case Const(_, dtype) | Cast(_, dtype) | Choice(_, _, dtype):
            return dtype
        case Carry(_, _, _, _, dtype):
            return dtype
        case Size() | Offset() | Index() | Cell() | Which():
            return DType.I32
        case Load(source):
            return source.dtype
        case Bin(op, lhs):
            return DType.BOOL if op in COMPARISONS else dtype_of(lhs)
        case Where(_, then):
            return dtype_of(then)
        case Not(of) | Expect(of) | Scan(of) | Reduce(_, of) | RowScan(of):
            return dtype_of(of)
        case Given(of) | Across(_, of) | At(of) | Sort(of) | Distinct(of):
            return dtype_of(of)
        case Trial(_, lo) | Bisect(lo):
            return dtype_of(lo)
        case Fold(_, inits, _, _, at):
            return dtype_of(inits[at])


def axis_of(e: Expr) -> Axis | None:
    """The deepest axis that ``e`` mentions: where its value lives."""
    known = e._lives  # pyright: ignore[reportPrivateUsage]
    if known is UNKNOWN:
        known = _axis_of(e)
        object.__setattr__(e, "_lives", known)
    return known


def _axis_of(e: Expr) -> Axis | None:
    match e:
        case Offset(axis) | Index(axis):
            return axis
        case Scan(_, over) | RowScan(_, over) | Sort(_, over):
            return over
        case Reduce(_, _, _, to):
            return to
        # what is asked for is the same for all points of the axis that is swept
        case Const() | Size() | Cell() | Which() | Carry() | Given() | Trial():
            return None
        case Across(_, of):
            return _deepest(g.of for g in asked(of))
        case At(_, _, index):
            return axis_of(index)
        case Fold(axis, _, _, _, _, when):
            return parent(axis) if when is When.LAST else axis
        case Bisect(lo, hi, cond):
            return _deepest((lo, hi, cond))
        case _:
            return _deepest(children(e))


def _deepest(exprs: Iterable[Expr]) -> Axis | None:
    own: Axis | None = None
    for e in exprs:
        own = deeper(own, axis_of(e))
    return own


def asked(of: Expr) -> tuple[Given, ...]:
    """What ``of``, swept over an axis, takes from the point that asks."""
    found: dict[Given, None] = {}

    def visit(e: Expr) -> None:
        if isinstance(e, Given):
            found.setdefault(e)
        elif not isinstance(e, Across):
            for c in children(e):
                visit(c)

    visit(of)
    return tuple(found)


def tried(e: Expr) -> bool:
    """Whether ``e`` depends on a number that a search around it tries."""
    every = set(walk(e))
    known = {x.trial for x in every if isinstance(x, Bisect)}
    return any(isinstance(x, Trial) and x not in known for x in every)


def deeper(a: Axis | None, b: Axis | None) -> Axis | None:
    """The deeper of two axes on one branch; values on different branches never meet."""
    if a is None or b is None:
        return b if a is None else a
    return a if len(chain(a)) >= len(chain(b)) else b
