"""How to walk expressions and axes: what is inside, where a value lives, of which dtype it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from metaplan.nodes import COMPARISONS, UNKNOWN, DType
from metaplan.terms import (
    Across,
    At,
    Axis,
    Bin,
    Bisect,
    Carry,
    Cast,
    Cell,
    Choice,
    Const,
    Dense,
    Distinct,
    Expect,
    Expr,
    Fold,
    Given,
    Index,
    Load,
    Not,
    Offset,
    Part,
    Ragged,
    Reduce,
    Root,
    RowScan,
    Scan,
    Size,
    Sort,
    Trial,
    When,
    Where,
    Which,
)


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


def top(axis: Axis) -> bool:
    """Whether nothing is above ``axis``."""
    return parent(axis) is None


def complete(axis: Axis) -> bool:
    """Whether ``axis`` has as many points as its buffers hold, at every step."""
    return all(isinstance(a, Dense) for a in chain(axis))


def dtype_of(e: Expr) -> DType:
    known = e._dtype  # pyright: ignore[reportPrivateUsage]
    if known is UNKNOWN:
        known = _dtype_of(e)
        object.__setattr__(e, "_dtype", known)
    return known


def _dtype_of(e: Expr) -> DType:
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
    seen: set[Expr] = set()

    def visit(e: Expr) -> None:
        if e in seen:
            return
        seen.add(e)
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
