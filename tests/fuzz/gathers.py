"""Reads of arrays at an index: in bounds by its range, by a guard, or by the data alone."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar, joined, rule
from tests.fuzz.leaves import ALL, span
from tests.fuzz.terms import Ax, Given, Place, Term


def table(g: Grammar, dtype: str) -> tuple[Given, list[int]] | None:
    """An input of free and fixed dimensions, and how long they are."""
    plain = [i for i in g.inputs if i.dtype == dtype and i.name.startswith("table") and not i.marks]
    if plain and (g.chance(0.6) or len(g.inputs) > 9):
        made = g.pick(plain)
    elif len(g.inputs) > 9:
        return None
    else:
        dims = tuple(_dimension(g) for _ in range(g.pick([1, 1, 2, 2, 3])))
        lo, hi = (None, None) if dtype == "bool" else span(g, dtype)
        made = g.array(dtype, dims, lo, hi, stem="table")
    return made, [g.sizes.get(str(d), d) for d in made.dims]  # pyright: ignore


def _dimension(g: Grammar) -> str | int:
    """A new dimension: of a fixed size, or with a name."""
    if g.chance(0.4):
        return g.whole(1, 6)
    known = [name for name in g.sizes if name.startswith("dim")]
    if known and g.chance(0.5):
        return g.pick(known)
    name = g.fresh("dim")
    g.sizes[name] = g.whole(1, 9)
    return name


def listed(g: Grammar, dtype: str) -> tuple[Given, list[int]] | None:
    """An input that is a list of tensors: one for each copy."""
    if not g.copies or len(g.inputs) > 9:
        return None
    name, count = g.pick(g.copies)
    lo, hi = (None, None) if dtype == "bool" else span(g, dtype)
    dims = (name, *(_dimension(g) for _ in range(g.whole(1, 2))))
    made = g.array(dtype, dims, lo, hi, "EACH", stem="list")
    return made, [count, *(g.sizes.get(str(d), d) for d in dims[1:])]  # pyright: ignore


@rule(5, *ALL)
def gather(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    if at.cell:
        return None
    if g.chance(0.1):
        by_axis = _by_axis(g, at, depth, dtype)
        if by_axis is not None:
            return by_axis
    source = listed(g, dtype) if g.chance(0.15) else table(g, dtype)
    if source is None:
        return None
    array, extents = source
    guards: list[str] = []
    found: list[Term] = []
    for extent in extents:
        guard, index = _index(g, at, depth, extent)
        found.append(index)
        guards += [guard] if guard else []
    if "EACH" in array.marks:
        own = Term(str(array.dims[0]), "i32", None, 0, extents[0] - 1)
        found[0] = own
    read = f"{array.name}[{', '.join(x.text for x in found)}]"
    lo, hi = array.span
    if not guards:
        return joined(read, dtype, lo, hi, *found)
    other = g.number(at, 0, dtype)
    text = f"mp.where({' & '.join(guards)}, {read}, {other.text})"
    return joined(text, dtype, min(lo, other.lo), max(hi, other.hi), other, *found)


def _index(g: Grammar, at: Place, depth: int, extent: int) -> tuple[str, Term]:
    """An index, and what must hold where it is read."""
    x = g.number(at, depth - 1, g.pick(["i32", "i32", "i32", "i64"]))
    if x.lo >= 0 and x.hi < extent:
        return "", x
    match g.whole(0, 9):
        case 0 | 1 | 2 | 3:
            return "", g.clamped(x, 0, extent - 1)
        case 4 | 5 | 6:
            high = f"({x.text} < {extent})"
            return high if x.lo >= 0 else f"({x.text} >= 0) & {high}", x
        case 7:
            return "", joined(f"({x.text} % {extent})", x.dtype, 0, extent - 1, x)
        case _:
            return "", x if x.lo < extent and x.hi >= 0 else g.clamped(x, 0, extent - 1)


def _by_axis(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """An array of an axis, read at another of its points."""
    sources = [i for i in g.inputs if i.dtype == dtype and len(i.dims) == 1 and not i.marks]
    axes = {a.name: a for a in g.whole_axes()}
    sources = [i for i in sources if i.dims[0] in axes]
    if not sources:
        return None
    array = g.pick(sources)
    axis: Ax = axes[str(array.dims[0])]
    x = g.clamped(g.number(at, depth - 1), 0, axis.cap - 1)
    text = f"mp.where({x.text} < {axis.text}.size, {array.name}[{x.text}], {array.span[0]})"
    if dtype in ("bool", "u8", "u16", "i64"):
        text = f"{array.name}[{x.text}]"
    return joined(text, dtype, *array.span, x)
