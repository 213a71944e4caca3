"""The axes of a plan: roots, then rows under them of every kind, up to four deep."""

from __future__ import annotations

from dataclasses import dataclass

from tests.fuzz.grammar import Grammar
from tests.fuzz.leaves import own_dims
from tests.fuzz.terms import Ax, Place

ROOTS = ("req", "grp", "pool")
POINTS = 600
"""Points of an axis at most: an interpreter goes through all of them."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a plan is: rows of a root, points under a row, points of an axis."""

    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    points: int


SIZES = (
    (7, Size((1, 2, 3, 5, 6), (1, 2, 3, 4), 200)),
    (1, Size((2, 3), (3, 40, 90, 150), POINTS)),
    (1, Size((33, 70, 130), (1, 2, 3), POINTS)),
)


def axes(g: Grammar) -> None:
    """Declares the axes of a plan, and what it makes copies of."""
    (size,) = g.rng.choices([s for _, s in SIZES], [w for w, _ in SIZES])
    for name in ROOTS[: g.pick([1, 1, 1, 2, 3])]:
        cap = g.pick(size.rows)
        g.line(name, f'mp.axis("{name}")')
        g.sizes[name] = cap
        g.axes.append(Ax(name, name, "root", None, cap, cap))
    for word in ("steps", "groups"):
        if g.chance(0.15):
            name, count = word[:-1], g.whole(1, 3)
            g.line(name, f"mp.{word}({count})")
            g.copies.append((name, count))
    for _ in range(g.whole(0, 5)):
        _child(g, size)
    if g.chance(0.3):
        width = g.whole(1, 12)
        name = g.fresh("slot")
        g.line(name, f"mp.dense(None, {width})")
        g.axes.append(Ax(name, name, "dense", None, width, width))


def _child(g: Grammar, size: Size) -> None:
    above = [a for a in g.axes if len(a.chain()) < 4 and a.cap <= size.points]
    parent = g.pick(above)
    if g.chance(0.4):
        parent = max(above, key=lambda a: len(a.chain()))
    room = max(size.points // max(parent.cap, 1), 1)
    match g.pick(["ragged", "ragged", "ragged", "dense", "compact", "pieces"]):
        case "dense":
            width = min(g.pick([*size.lengths, 5]), room)
            name = g.fresh("col")
            written = str(width)
            if g.chance(0.2):
                written = f'"{name}_width"'
                g.sizes[f"{name}_width"] = width
            g.line(name, f"mp.dense({parent.text}, {written})")
            g.axes.append(Ax(name, name, "dense", parent, width, parent.cap * width))
        case "compact":
            cond = g.exactly(g.truth(Place(parent, (), 1), 2), parent)
            name = g.fresh("some")
            g.line(name, f"mp.compact({parent.text}, where={cond.text})")
            _stored(g, name, parent.cap)
            g.axes.append(Ax(name, name, "compact", parent, 1, parent.cap))
        case "pieces":
            _pieces(g, parent, min(max(size.lengths), room))
        case _:
            length, bound, most = _length(g, parent, min(g.pick(size.lengths), room))
            name = g.fresh("tok")
            g.line(name, f"mp.ragged({parent.text}, {length}{most})")
            _stored(g, name, parent.cap * bound)
            g.axes.append(Ax(name, name, "ragged", parent, bound, parent.cap * bound))


def _length(g: Grammar, parent: Ax, most: int) -> tuple[str, int, str]:
    """A length on ``parent``, its bound, and what says so where its range does not."""
    if g.chance(0.4) and not parent.part and len(g.inputs) < 9:
        return g.array("i32", own_dims(parent), 0, most, stem="n").name, most, ""
    x = g.clamped(g.number(Place(parent, (), 1), 2), 0, 1 << 20)
    if x.hi > most and g.chance(0.2):
        return x.text, most, f", most={most}"
    x = g.clamped(x, 0, most)
    return x.text, max(x.hi, 1), ""


def _stored(g: Grammar, name: str, points: int) -> None:
    """Some plans are compiled for fewer points than their rows could have."""
    if points > 2 and g.chance(0.06):
        g.sizes[name] = max(points * 2 // 3, 1)


def _pieces(g: Grammar, parent: Ax, most: int) -> None:
    parts = ("head", "rest", "pad")[: g.whole(1, 3)]
    lengths = [_length(g, parent, max(most // len(parts), 1)) for _ in parts]
    name = g.fresh("row")
    cut = [text if not kw else f"mp.minimum({text}, {bound})" for text, bound, kw in lengths]
    named = ", ".join(f"{p}={text}" for p, text in zip(parts, cut, strict=True))
    g.line(name, f"mp.pieces({parent.text}, {named})")
    total = sum(bound for _, bound, _ in lengths)
    cap = parent.cap * total
    g.axes.append(Ax(name, name, "pieces", parent, total, cap))
    for part, (_, bound, _) in zip(parts, lengths, strict=True):
        g.axes.append(Ax(f"{name}.{part}", f"{name}_{part}", "part", parent, bound, cap))
