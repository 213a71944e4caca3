"""Words that look at other points of the plan: sums, orders, searches, what is carried along a row."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar, joined, rule
from tests.fuzz.leaves import NUMBERS
from tests.fuzz.terms import SPANS, Ax, Place, Term


def summable(g: Grammar, x: Term, points: int) -> Term:
    """``x`` so small that a sum of ``points`` of them is small too."""
    reach = max((1 << 20) // max(points, 1), 1)
    return x if x.dtype == "i64" and g.chance(0.2) else g.clamped(x, -reach, reach)


@rule(4, *NUMBERS)
def reduced(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """Over the points below this one, however far below."""
    if at.axis is None or not (below := g.below(at.axis)) or not g.spend(at):
        return None
    axis = g.pick(below)
    points = min(1 << 20, axis.cap)
    x = summable(g, g.number(at.deeper(axis), depth - 1, dtype), points)
    kind = g.pick(["sum", "sum", "max", "min"])
    if kind == "sum" and dtype == "i32" and g.chance(0.3):
        x = g.truth(at.deeper(axis), depth - 1)
    to = "" if axis.above == at.axis and g.chance(0.8) else f", to={at.axis.text}"
    text = f"mp.{kind}({x.text}, over={axis.text}{to})"
    if kind == "sum":
        return joined(text, dtype, min(x.lo, 0) * points, max(x.hi, 0) * points, _on(at.axis))
    return g.clamped(joined(text, dtype, *SPANS[dtype], _on(at.axis)), -100, 100)


def _on(axis: Ax | None) -> Term:
    return Term("", "i32", axis, 0, 0)


@rule(2, "bool")
def held(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """Whether something holds anywhere, or everywhere, below this point."""
    if at.axis is None or not (below := g.below(at.axis)) or not g.spend(at):
        return None
    axis = g.pick(below)
    x = g.truth(at.deeper(axis), depth - 1)
    to = "" if axis.above == at.axis else f", to={at.axis.text}"
    return joined(
        f"mp.{g.pick(['any', 'all'])}({x.text}, over={axis.text}{to})", "bool", 0, 1, _on(at.axis)
    )


@rule(2, *NUMBERS)
def total(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """Over the whole batch: a level at a time."""
    axes = list(g.axes)
    if not axes or not g.spend(at):
        return None
    axis = g.pick(axes)
    kind = g.pick(["sum", "sum", "max", "min"])
    x = summable(g, g.number(at.deeper(axis), depth - 1, dtype), axis.cap)
    text = x.text
    for level in reversed(axis.chain()):
        text = f"mp.{kind}({text}, over={level.text})"
    if kind == "sum":
        return Term(text, dtype, None, min(x.lo, 0) * axis.cap, max(x.hi, 0) * axis.cap)
    return g.clamped(Term(text, dtype, None, *SPANS[dtype]), -100, 100)


@rule(3, *NUMBERS)
def running(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """A running sum, whole or restarting at the rows of an axis above."""
    if at.axis is None or not g.spend(at):
        return None
    axis = g.pick(at.axis.chain())
    x = summable(g, g.number(at.deeper(axis), depth - 1, dtype), axis.cap)
    x = g.exactly(x, axis)
    above = axis.chain()[:-1]
    per = f", per={g.pick(above).text}" if above and g.chance(0.6) else ""
    text = f"mp.cumsum({x.text}{per})" if per or g.chance(0.5) else f"(mp.indptr({x.text}) + 0)"
    if text.startswith("(") and dtype == "i64":
        text = f"(mp.indptr({x.text}) + i64(0))"
    return joined(text, dtype, min(x.lo, 0) * axis.cap, max(x.hi, 0) * axis.cap, _on(axis))


@rule(3, "i32")
def ordered(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """A row in order, or the places that its numbers come from."""
    rows = [a for a in at.axis.chain() if not a.part and a.most <= 64] if at.axis else []
    if not rows or not g.spend(at, 2):
        return None
    axis = g.pick(rows)
    x = g.exactly(g.number(at.deeper(axis), depth - 1, g.pick(["i32", "i32", "i64"])), axis)
    down = ", descending=True" if g.chance(0.4) else ""
    if x.dtype == "i32" and g.chance(0.5):
        text = f"mp.argsort({x.text}, over={axis.text}{down})"
        return joined(text, "i32", 0, axis.most - 1, _on(axis))
    made = joined(f"mp.sort({x.text}, over={axis.text}{down})", x.dtype, x.lo, x.hi, _on(axis))
    if x.dtype == "i32":
        return made
    return joined(f"mp.wrapped({made.text})", "i32", *SPANS["i32"], made)


@rule(1, "i32")
def partitioned(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    rows = [a for a in at.axis.chain() if not a.part] if at.axis else []
    if not rows or not g.spend(at, 2):
        return None
    axis = g.pick(rows)
    x = g.exactly(g.truth(at.deeper(axis), depth - 1), axis)
    above = axis.chain()[:-1]
    per = f", per={g.pick(above).text}" if above and g.chance(0.5) else ""
    text = f"mp.partition({x.text}{per})"
    return joined(text, "i32", 0, axis.cap - 1, _on(axis))


@rule(1, "i64")
def bit_mask(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    rows = [a for a in g.below(at.axis) if a.above == at.axis] if at.axis else []
    rows = [a for a in rows if a.most <= 63]
    if not rows or not g.spend(at):
        return None
    axis = g.pick(rows)
    x = g.truth(at.deeper(axis), depth - 1)
    text = f"mp.bits({x.text}, over={axis.text})"
    return joined(text, "i64", 0, (1 << 63) - 1, _on(at.axis))


@rule(3, "i32")
def folded(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """Numbers carried along a row: before or after a point of it, or behind its last."""
    inner = list(at.axis.chain()) if at.axis else []
    below = [a for a in g.below(at.axis) if a.above == at.axis] if at.axis else g.whole_axes()
    below = [a for a in below if a.above == at.axis]
    choices = [(a, g.pick(["before", "after"])) for a in inner] + [(a, "last") for a in below]
    if not choices or not g.spend(at, 2):
        return None
    axis, when = g.pick(choices)
    carries: list[Term] = []
    inits: list[str] = []
    for name in ("a", "b")[: g.whole(1, 2)]:
        kind = g.pick(["i32", "i32", "i32", "i64"]) if name == "b" else "i32"
        lo, hi = g.small(-30, 0), g.small(0, 90)
        carries.append(Term(f"c.{name}", kind, None, lo, hi))
        init = g.number(Place(axis.above, (), 0), 1, kind)
        inits.append(f"{name}=mp.carry({init.text}, {lo}, {hi})")
    steps: list[str] = []
    for carry in carries:
        point = Place(axis, tuple(carries), 0)
        if g.chance(0.15):
            point = Place(axis, tuple(carries), 1)
        new = g.number(point, depth - 1, carry.dtype)
        if g.chance(0.6):
            new = joined(f"({carry.text} + {new.text})", carry.dtype, 0, 0, new)
        if g.chance(0.7):
            new = joined(
                f"mp.minimum(mp.maximum({new.text}, {carry.lo}), {carry.hi})",
                carry.dtype,
                0,
                0,
                new,
            )
        steps.append(f"{carry.text[2:]}={new.text}")
    text = f"mp.fold({axis.text}, lambda c: dict({', '.join(steps)}), {', '.join(inits)})"
    lives = axis.above if when == "last" else axis
    return joined(f"{text}.{when}.a", "i32", carries[0].lo, carries[0].hi, _on(lives))
