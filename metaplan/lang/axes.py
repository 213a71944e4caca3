"""The axes of a plan: requests, tokens, pages, window entries, and what a point of each knows."""

from __future__ import annotations

from typing import overload

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType
from metaplan.lang import demands
from metaplan.lang.tracing import tracing
from metaplan.lang.values import Integer, Value, lift, name_of, one_branch
from metaplan.naming import assigned_name


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
        """int32 on the parent: the index of the parent's point that this point belongs to.

        It lifts to this axis where it meets a value there; alone it is stored by ``mp.on(tok, tok.row)``.
        """
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
        if not isinstance(self.ir, ir.Ragged):
            raise catalogue.part_indptr(self.name, Loc.here())
        return Indptr(ir.Scan(self.ir.length, self.ir.parent))


class Pieces(Ragged):
    """Ragged rows made of parts that follow each other; ``row.window`` is the part named window."""

    __slots__ = ("parts",)

    def __init__(self, whole: ir.Ragged, parts: tuple[Ragged, ...]) -> None:
        super().__init__(whole)
        self.parts = parts

    def __getattr__(self, name: str) -> Ragged:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.part(name, Loc.here())

    def part(self, name: str, loc: Loc) -> Ragged:
        """The part called ``name``; an error at ``loc`` that lists them all otherwise."""
        label = f"{self.ir.name}_"
        for part in self.parts:
            if part.ir.name == label + name:
                return part
        known = [p.ir.name.removeprefix(label) for p in self.parts]
        raise catalogue.unknown_part(self.name, name, known, loc)


class Indptr(Value):
    """An exclusive running sum; as an output it has one cell more, for the total."""

    __slots__ = ()


def _name(word: str, given: str | None, loc: Loc) -> str:
    name = given if given is not None else assigned_name(loc)
    if name is None:
        raise catalogue.unnamed_axis(word, loc)
    return demands.name("axis", name, loc, demands.COMPILE)


def axis(name: str) -> Axis:
    """A root axis; its capacity is given to compile() and its live size to every call by name."""
    loc = Loc.here()
    own = ir.Root(demands.name("axis", name, loc, demands.COMPILE), loc=loc)
    return Axis(tracing("axis").declare(own))


@overload
def dense(parent: Axis, width: int | str, *, name: str | None = None) -> Child: ...
@overload
def dense(parent: None, width: int | str, *, name: str | None = None) -> Axis: ...
def dense(parent: Axis | None, width: int | str, *, name: str | None = None) -> Axis:
    """``width`` points under each row of ``parent``: an int, or the name of a dimension."""
    loc = Loc.here()
    above = None if parent is None else demands.axis("dense", parent, loc)
    label = _name("dense", name, loc)
    if isinstance(width, str):
        demands.name("dimension", width, loc, demands.COMPILE)
    else:
        demands.size(f"the width of {label}", width, loc)
    own = ir.Dense(label, above, width, loc=loc)
    return (Child if parent is not None else Axis)(tracing("dense").declare(own))


def _length(name: str, parent: ir.Axis, length: Integer, loc: Loc) -> ir.Expr:
    expr = lift(length)
    lives = ir.axis_of(expr)
    if ir.dtype_of(expr) is not DType.I32:
        raise catalogue.length_dtype(name, ir.dtype_of(expr).value, loc)
    if not one_branch(lives, parent) or ir.deeper(lives, parent) != parent:
        raise catalogue.length_on_own_axis(name, name_of(lives), parent.name, loc)
    return expr


def ragged(
    parent: Axis, length: Integer, *, most: int | None = None, name: str | None = None
) -> Ragged:
    """``length`` points under each row of ``parent`` (int32, 0 or more), at most ``most`` of them."""
    loc = Loc.here()
    above = demands.axis("ragged", parent, loc)
    label = _name("ragged", name, loc)
    if most is not None:
        demands.size(f"most of {label}", most, loc)
    expr = _length(label, above, length, loc)
    if most is not None:
        expr = ir.Expect(expr, DType.I32.lo, most, loc=expr.loc)
    own = ir.Ragged(label, above, expr, most, loc=loc)
    return Ragged(tracing("ragged").declare(own))


def compact(of: Axis, where: Value, *, name: str | None = None) -> Ragged:
    """The points of ``of`` at which ``where`` holds, in order; values of ``of`` lift to it."""
    loc = Loc.here()
    above = demands.axis("compact", of, loc)
    kept = demands.condition(where, loc)
    demands.reaches(above, kept, loc)
    own = ir.Ragged(
        _name("compact", name, loc), above, ir.Cast(kept, DType.I32, loc=loc), most=1, loc=loc
    )
    return Ragged(tracing("compact").declare(own))


def pieces(parent: Axis, /, *, name: str | None = None, **lengths: Integer) -> Pieces:
    """Rows made of parts of varying length, in the order of the keywords.

    ``row = mp.pieces(tok, head=n, window=m)`` gives ``row.head`` and ``row.window``, each with its
    own ``offset`` and ``length``; ``mp.join(row, head=..., window=...)`` gives the values of a row.
    """
    loc = Loc.here()
    above = demands.axis("pieces", parent, loc)
    label = _name("pieces", name, loc)
    trace = tracing("pieces")
    if not lengths:
        raise catalogue.no_parts("pieces", loc)
    total: ir.Expr | None = None
    spans: list[tuple[str, ir.Expr, ir.Expr]] = []
    for part, length in lengths.items():
        if hasattr(Pieces, part) or part == "parts":
            raise catalogue.reserved_name("part", part, loc)
        expr = _length(f"{label}.{part}", above, length, loc)
        before = total if total is not None else ir.Const(0)
        spans.append((f"{label}_{part}", before, expr))
        total = expr if total is None else ir.Bin(ir.Op.ADD, total, expr)
    assert total is not None
    whole = ir.Ragged(label, above, total, loc=loc)
    trace.declare(whole)
    parts = [
        Ragged(trace.declare(ir.Part(n, whole, at, length, loc=loc))) for n, at, length in spans
    ]
    return Pieces(whole, tuple(parts))
