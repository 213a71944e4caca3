"""What the words of the language demand of their arguments, so that a slip is told in its own terms."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from metaplan import catalogue, ir
from metaplan.errors import Loc
from metaplan.ir import DType
from metaplan.lang.values import Value, described, lift, name_of, one_branch

# What a compiled step is itself, beside its outputs, and what compile() takes beside capacities.
STEP = frozenset(
    (
        "arguments", "arrays", "bind", "buffers", "built", "close", "closed", "counts",
        "device", "emit", "explain", "explain_json", "flags", "hosted", "kernels",
        "launch", "launches", "outputs", "params", "plain", "recorded", "ring",
        "send", "source", "stage", "staging", "tensors", "values", "words",
    )
)  # fmt: skip
COMPILE = frozenset({"dependent", "device", "into", "lag", "target"})
KERNEL = frozenset({"tl", "triton"})


def name(kind: str, given: object, loc: Loc, reserved: frozenset[str] = frozenset()) -> str:
    """``given`` as the name of an axis, an input, an output or a plan."""
    if not isinstance(given, str) or not given.isidentifier() or keyword.iskeyword(given):
        raise catalogue.bad_name(kind, given, loc)
    if given in reserved or given.startswith("_"):
        raise catalogue.reserved_name(kind, given, loc)
    return given


def is_whole(x: object) -> TypeGuard[int]:
    return isinstance(x, int) and not isinstance(x, bool)


def size(what: str, given: object, loc: Loc) -> int:
    """``given`` as a number of points that is known when the plan is declared."""
    if not is_whole(given) or not 1 <= given <= DType.I32.hi:
        raise catalogue.bad_bound(what, described(given), loc)
    return given


def axis(word: str, given: object, loc: Loc) -> ir.Axis:
    """The axis behind the handle ``given``."""
    found = getattr(given, "ir", None)
    if not isinstance(found, ir.Root | ir.Dense | ir.Ragged | ir.Part):
        raise catalogue.not_axis(f"mp.{word}", described(given), loc)
    return found


def condition(given: object, loc: Loc) -> ir.Expr:
    """``given`` as a bool."""
    expr = lift(given)
    if ir.dtype_of(expr) is not DType.BOOL:
        raise catalogue.not_condition(ir.dtype_of(expr).value, loc)
    return expr


def integers(what: str, given: object, loc: Loc) -> Value:
    """``given`` as a value that can be counted with."""
    made = Value(lift(given))
    if made.dtype is DType.BOOL:
        raise catalogue.wrong_kind(what, made.dtype.value, loc)
    return made


def counted(what: str, given: object, loc: Loc) -> Value:
    """``given`` as a number of 32 or 64 bits, which sums, orders and searches are made of."""
    made = Value(lift(given))
    if made.dtype not in (DType.I32, DType.I64):
        raise catalogue.wrong_kind(what, made.dtype.value, loc)
    return made


def looking(e: ir.Expr, bound: Iterable[ir.Expr]) -> Iterator[ir.Expr]:
    """What inside ``e`` looks at other points for a value that is made of ``bound``."""
    inside = frozenset(bound)
    for x in ir.walk(e):
        match x:
            case ir.Scan(of) | ir.Reduce(_, of) | ir.RowScan(of) | ir.Sort(of) | ir.At(of):
                asked = (of,)
            case ir.Fold():
                asked = ir.children(x)
            case _:
                continue
        if not inside.isdisjoint(ir.walk(*asked)):
            yield x


def reaches(holder: ir.Axis | None, expr: ir.Expr, loc: Loc) -> None:
    """Raises where a value of ``expr`` is not the same for a whole point of ``holder``."""
    lives = ir.axis_of(expr)
    if not one_branch(holder, lives):
        raise catalogue.different_branches(name_of(holder), name_of(lives), loc)
    if ir.deeper(holder, lives) != holder:
        raise catalogue.value_not_on(name_of(holder), name_of(lives), loc)
