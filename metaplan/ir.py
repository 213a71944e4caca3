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
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cache
from typing import Any, TypeAlias

from metaplan.errors import Loc


class DType(Enum):
    """Element types; the value is NumPy's, torch's and Triton's name."""

    BOOL = "bool"
    U8 = "uint8"
    I32 = "int32"
    I64 = "int64"

    @property
    def bytes(self) -> int:
        return {"bool": 1, "uint8": 1, "int32": 4, "int64": 8}[self.value]

    @property
    def lo(self) -> int:
        return 0 if self in (DType.BOOL, DType.U8) else -(1 << (8 * self.bytes - 1))

    @property
    def hi(self) -> int:
        return {"bool": 1, "uint8": 255}.get(self.value, (1 << (8 * self.bytes - 1)) - 1)


class Op(Enum):
    """Integer operators, written as in Python. ``//`` and ``%`` floor."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "//"
    MOD = "%"
    AND = "&"
    OR = "|"
    XOR = "^"
    SHL = "<<"
    SHR = ">>"
    MIN = "min"
    MAX = "max"
    LT = "<"
    LE = "<="
    EQ = "=="
    NE = "!="


COMPARISONS = frozenset({Op.LT, Op.LE, Op.EQ, Op.NE})


class Monoid(Enum):
    """How a reduction combines; the value is the word in the language."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


class Home(Enum):
    """Where an input's bytes are when the step is called."""

    DEVICE = "device"
    HOST = "host"
    SCALAR = "scalar"


@cache
def _compared(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.compare)


_UNKNOWN = object()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """Anything the user wrote: it knows its line, and its line is no part of what it means."""

    loc: Loc = field(default_factory=Loc.here, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)
    _lives: Any = field(init=False, compare=False, repr=False)

    def compared(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in _compared(type(self)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((type(self).__name__, *self.compared())))
        object.__setattr__(self, "_lives", _UNKNOWN)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or not isinstance(other, Node):
            return False
        return self._hash == other._hash and self.compared() == other.compared()


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

    @property
    def shape(self) -> str:
        return f"{self.dtype.value}[{', '.join(map(str, self.dims)) or '1'}]"


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
    of: Expr
    dtype: DType


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
)


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

    def root_names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.axes if isinstance(a, Root))


# ------------------------------------------------------------ traversal


def children(e: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside ``e``; those inside its axes are not among them."""
    match e:
        case Const() | Size() | Offset() | Index() | Cell():
            return ()
        case Load(_, index, guard):
            return index if guard is None else (*index, guard)
        case Bin(_, lhs, rhs):
            return (lhs, rhs)
        case Where(cond, then, other):
            return (cond, then, other)
        case Not(of) | Cast(of) | Expect(of) | Scan(of) | Reduce(_, of):
            return (of,)


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
        case Not() | Cast() | Expect() | Scan() | Reduce():
            return replace(e, of=new[0])
        case Const() | Size() | Offset() | Index() | Cell():
            return e


def axes_in(e: Expr) -> tuple[Axis, ...]:
    """The axes that ``e`` itself names."""
    match e:
        case Size(axis) | Offset(axis) | Index(axis):
            return (axis,)
        case Scan(_, over):
            return (over,)
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
        case Const(_, dtype) | Cast(_, dtype):
            return dtype
        case Size() | Offset() | Index() | Cell():
            return DType.I32
        case Load(source):
            return source.dtype
        case Bin(op, lhs):
            return DType.BOOL if op in COMPARISONS else dtype_of(lhs)
        case Where(_, then):
            return dtype_of(then)
        case Not(of) | Expect(of) | Scan(of) | Reduce(_, of):
            return dtype_of(of)


def axis_of(e: Expr) -> Axis | None:
    """The deepest axis that ``e`` mentions: where its value lives."""
    known = e._lives  # pyright: ignore[reportPrivateUsage]
    if known is _UNKNOWN:
        known = _axis_of(e)
        object.__setattr__(e, "_lives", known)
    return known


def _axis_of(e: Expr) -> Axis | None:
    own: Axis | None
    match e:
        case Offset(axis) | Index(axis):
            return axis
        case Scan(_, over):
            return over
        case Reduce(_, _, _, to):
            return to
        case Const() | Size() | Cell():
            return None
        case _:
            own = None
            for c in children(e):
                own = deeper(own, axis_of(c))
            return own


def deeper(a: Axis | None, b: Axis | None) -> Axis | None:
    """The deeper of two axes on one branch; values on different branches never meet."""
    if a is None or b is None:
        return b if a is None else a
    return a if len(chain(a)) >= len(chain(b)) else b


def exprs(plan: Plan) -> Iterator[Expr]:
    """The expressions that a plan writes down itself, those of its axes included."""
    for axis in plan.axes:
        if isinstance(axis, Ragged | Part):
            yield axis.length
        if isinstance(axis, Part):
            yield axis.before
    for o in plan.outputs:
        yield from o.columns
        yield from (value for _, value in o.parts)
        if o.where is not None:
            yield o.where
        if isinstance(o.tail, Fill):
            yield o.tail.value
            if o.tail.until is not None:
                yield o.tail.until
    for u in plan.updates:
        yield from u.index
        yield u.value
        if u.where is not None:
            yield u.where
    for c in plan.checks:
        yield c.bad
