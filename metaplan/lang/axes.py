"""The axes of a plan: requests, tokens, pages, window entries, and what a point of each knows."""

from __future__ import annotations

from typing import overload

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType
from metaplan.naming import assigned_name
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Integer, Value, lift, name_of, one_branch


class Axis:
    """A handle on an axis: a plan indexes arrays with it and asks it where a point stands."""

    __slots__ = ("ir",)

    def __init__(self, axis: ir.Axis) -> None:
        self.ir = axis

    @property
    def name(self) -> str:
        return self.ir.name

    @property
    def size(self) -> Value:
        """int32, one for the batch: how many points are live."""
        return Value(ir.Size(self.ir))

    @property
    def offset(self) -> Value:
        """int32: this point's place under its row of the parent, from 0."""
        return Value(ir.Offset(self.ir))

    @property
    def index(self) -> Value:
        """int32: this point's place among all live points, which is where its values are stored."""
        return Value(ir.Index(self.ir))

    @property
    def cuts(self) -> Indptr:
        """int32: 0, 1, 2, ...; as an output, with the number of live points behind the last."""
        return Indptr(ir.Scan(ir.Const(1), self.ir))


class Child(Axis):
    """An axis below another one."""

    __slots__ = ()

    @property
    def row(self) -> Value:
        """int32: the index of the parent's point that this point belongs to."""
        above = ir.parent(self.ir)
        assert above is not None
        return Value(ir.Index(above))


class Ragged(Child):
    """Rows of varying length, packed one behind the other (CSR)."""

    __slots__ = ()

    @property
    def length(self) -> Value:
        """int32 on the parent: how many points this row has."""
        assert isinstance(self.ir, ir.Ragged | ir.Part)
        return Value(self.ir.length)

    @property
    def indptr(self) -> Indptr:
        """int32 on the parent: where this row begins; as an output, the cut behind the last row too."""
        assert isinstance(self.ir, ir.Ragged)
        return Indptr(ir.Scan(self.ir.length, self.ir.parent))


class Pieces(Ragged):
    """Ragged rows made of parts that follow each other; ``row.window`` is the part named window."""

    __slots__ = ("parts",)

    def __init__(self, whole: ir.Ragged, parts: tuple[Ragged, ...]) -> None:
        super().__init__(whole)
        self.parts = parts

    def __getattr__(self, name: str) -> Ragged:
        for part in self.parts:
            if part.ir.name == f"{self.ir.name}_{name}":
                return part
        raise AttributeError(name)


class Indptr(Value):
    """An exclusive running sum; as an output it has one cell more, for the total."""

    __slots__ = ()


def _name(word: str, given: str | None, loc: Loc) -> str:
    name = given or assigned_name(loc)
    if name is None:
        raise catalogue.unnamed_axis(word, loc)
    return name


def axis(name: str) -> Axis:
    """A root axis; its capacity is given to compile() and its live size to every call by name."""
    return Axis(tracing("axis").declare(ir.Root(name)))


@overload
def dense(parent: Axis, width: int | str, *, name: str | None = None) -> Child: ...
@overload
def dense(parent: None, width: int | str, *, name: str | None = None) -> Axis: ...
def dense(parent: Axis | None, width: int | str, *, name: str | None = None) -> Axis:
    """``width`` points under each row of ``parent``: an int, or the name of a dimension."""
    loc = Loc.here()
    own = ir.Dense(_name("dense", name, loc), parent.ir if parent else None, width)
    return (Child if parent else Axis)(tracing("dense").declare(own))


def _length(parent: Axis, length: Integer, loc: Loc) -> ir.Expr:
    expr = lift(length)
    lives = ir.axis_of(expr)
    if ir.dtype_of(expr) is not DType.I32:
        raise catalogue.mixed_dtypes("int32 lengths", ir.dtype_of(expr).value, loc)
    if not one_branch(lives, parent.ir) or ir.deeper(lives, parent.ir) != parent.ir:
        raise catalogue.length_on_own_axis("this axis", name_of(lives), parent.name, loc)
    return expr


def ragged(
    parent: Axis, length: Integer, *, most: int | None = None, name: str | None = None
) -> Ragged:
    """``length`` points under each row of ``parent`` (int32, 0 or more), at most ``most`` of them."""
    loc = Loc.here()
    own = ir.Ragged(_name("ragged", name, loc), parent.ir, _length(parent, length, loc), most)
    return Ragged(tracing("ragged").declare(own))


def compact(of: Axis, where: Value, *, name: str | None = None) -> Ragged:
    """The points of ``of`` at which ``where`` holds, in order; values of ``of`` lift to it."""
    loc = Loc.here()
    length = ir.Cast(where.expr, DType.I32)
    own = ir.Ragged(_name("compact", name, loc), of.ir, length, most=1)
    return Ragged(tracing("compact").declare(own))


def pieces(parent: Axis, *, name: str | None = None, **lengths: Integer) -> Pieces:
    """Rows made of parts of varying length, in the order of the keywords.

    ``row = mp.pieces(tok, head=n, window=m)`` gives ``row.head`` and ``row.window``, each with its
    own ``offset`` and ``length``; ``mp.join(head=..., window=...)`` gives the values of a row.
    """
    loc = Loc.here()
    label = _name("pieces", name, loc)
    trace = tracing("pieces")
    total: ir.Expr | None = None
    spans: list[tuple[str, ir.Expr, ir.Expr]] = []
    for part, length in lengths.items():
        expr = _length(parent, length, loc)
        before = total if total is not None else ir.Const(0)
        spans.append((f"{label}_{part}", before, expr))
        total = expr if total is None else ir.Bin(ir.Op.ADD, total, expr)
    assert total is not None, "pieces without a part"
    whole = ir.Ragged(label, parent.ir, total)
    trace.declare(whole)
    parts = [Ragged(trace.declare(ir.Part(n, whole, at, length))) for n, at, length in spans]
    return Pieces(whole, tuple(parts))
