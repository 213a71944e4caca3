"""Expressions without any below them: inputs, what an axis knows, constants."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar, leaf
from tests.fuzz.terms import SPANS, WORDS, Ax, Given, Place, Term, constant

NUMBERS = ("i32", "i64")
ALL = ("i32", "i64", "u8", "u16", "bool")


@leaf(6, *ALL)
def known(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """A value that has a name."""
    own = [x for x in at.bound if x.dtype == dtype]
    if own and g.chance(0.6):
        return g.pick(own)
    if at.cell:
        return None
    every = [x for x in g.named if x.dtype == dtype and x.lives(at.axis)]
    return g.pick(every) if every else None


@leaf(10, *ALL)
def element(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """An input at this point, without an index."""
    axis = None if at.cell or at.axis is None else g.pick(at.axis.chain())
    if axis is not None and axis.part:
        axis = axis.above
    fitting = [i for i in g.inputs if i.dtype == dtype and _bare(i, axis)]
    own = g.pick(fitting) if fitting and g.chance(0.7) else _declared(g, axis, dtype)
    return None if own is None else Term(own.name, dtype, axis, *own.span)


def _bare(i: Given, axis: Ax | None) -> bool:
    return not {"STATE", "EACH"} & set(i.marks) and i.dims == own_dims(axis)


def own_dims(axis: Ax | None) -> tuple[str | int, ...]:
    """The dimensions of an input that has an element for each point of ``axis``."""
    if axis is None:
        return ()
    if axis.kind == "dense" and axis.above is not None and not axis.above.part:
        return (axis.above.name, axis.name)
    return (axis.name,)


def _declared(g: Grammar, axis: Ax | None, dtype: str) -> Given | None:
    if len(g.inputs) > 13:
        return None
    marks = ["HOST"] if axis is not None and g.chance(0.15) else []
    if dtype == "bool":
        return g.array("bool", own_dims(axis), None, None, *marks)
    if g.chance(0.1):
        return g.array(dtype, own_dims(axis), None, None, *marks)
    lo, hi = span(g, dtype)
    return g.array(dtype, own_dims(axis), lo, hi, *marks)


def span(g: Grammar, dtype: str) -> tuple[int, int]:
    """A range that an input of ``dtype`` may declare."""
    options = [(0, 3), (0, 1), (0, 9), (0, 60)]
    if dtype in NUMBERS:
        options += [(-20, 20), (-9, 5), (-3, -1), (1, 7), (-100, 100), (-1, 6)]
    if dtype == "i64":
        options += [(-(1 << 40), 1 << 40), (0, 1 << 33)]
    if dtype == "u16":
        options += [(0, 65535), (250, 300)]
    return g.pick(options)


@leaf(5, "i32")
def of_axis(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """What a point of an axis knows of its place."""
    if at.axis is None or at.cell:
        return None
    axis = g.pick(at.axis.chain())
    below = [a for a in g.below(axis) if a.above == axis and a.kind in ("ragged", "part", "pieces")]
    match g.whole(0, 4):
        case 0 | 1:
            return axis.offset
        case 2:
            return axis.index
        case 3 if below:
            child = g.pick(below)
            return Term(f"{child.text}.length", "i32", axis, 0, child.most)
        case 4 if below and not all(a.part for a in below):
            child = g.pick([a for a in below if not a.part])
            return Term(f"({child.text}.indptr + 0)", "i32", axis, 0, child.cap)
        case _:
            return None


@leaf(1, "i32")
def size(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    if not g.axes:
        return None
    axis = g.pick(g.axes)
    return Term(f"{axis.text}.size", "i32", None, 0, axis.cap)


@leaf(1, "i32")
def copy(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """The number of the copy that computes."""
    if not g.copies or at.cell:
        return None
    name, count = g.pick(g.copies)
    return Term(f"{name}.index", "i32", None, 0, count - 1)


@leaf(2, *ALL)
def literal(g: Grammar, at: Place, depth: int, dtype: str) -> Term:
    """A constant, in its dtype wherever it stands."""
    lo, hi = SPANS[dtype]
    value = min(max(g.small(), lo), hi)
    if g.chance(0.05):
        value = g.pick([lo, hi, lo + 1, hi - 1])
    made = constant(value, dtype)
    if dtype == "i32":
        return made
    return Term(f"{WORDS[dtype]}({value})", dtype, None, value, value)
