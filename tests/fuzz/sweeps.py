"""Words that ask all points of another axis, and values computed elsewhere."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar, joined, rule
from tests.fuzz.looking import summable
from tests.fuzz.terms import SPANS, Ax, Place, Term

PAIRS = 1 << 16


def _asked(g: Grammar, at: Place) -> Ax | None:
    """An axis whose points are asked for each point of this place."""
    points = at.axis.cap if at.axis is not None else 1
    axes = list(g.whole_axes(PAIRS // max(points, 1)))
    if not axes or not g.spend(at, 2):
        return None
    return g.pick(axes)


def _given(x: Term) -> Term:
    return Term(f"mp.given({x.text})", x.dtype, None, x.lo, x.hi)


@rule(2, "i32")
def across(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """A reduction over another axis of what its points and this one have together."""
    axis = _asked(g, at)
    if axis is None:
        return None
    own = g.number(Place(at.axis, at.bound, 0), depth - 1)
    there = Place(axis, (_given(own),), 0)
    kind = g.pick(["sum", "sum", "max", "min"])
    if kind == "sum" and g.chance(0.6):
        x = g.truth(there, depth - 1)
    else:
        x = summable(g, g.number(there, depth - 1), axis.cap)
    if "mp.given" not in x.text:
        same = f"({g.number(Place(axis, (), 0), 1).text} == mp.given({own.text}))"
        x = Term(f"mp.where({same}, {x.text}, {'boolean(0)' if x.dtype == 'bool' else 0})", x.dtype, axis,
                 min(x.lo, 0), max(x.hi, 0))  # fmt: skip
    text = f"mp.{kind}({x.text}, over={axis.text})"
    if kind == "sum":
        return joined(text, "i32", min(x.lo, 0) * axis.cap, max(x.hi, 0) * axis.cap, own)
    return g.clamped(joined(text, "i32", *SPANS["i32"], own), -100, 100)


@rule(1, "i32")
def located(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    axis = _asked(g, at)
    if axis is None:
        return None
    target = g.number(Place(at.axis, at.bound, 0), depth - 1)
    if g.chance(0.6):
        x = Term(f"mp.cumsum({g.exactly(_positive(g, axis), axis).text})", "i32", axis, 0, 0)
    else:
        x = g.exactly(g.number(Place(axis, (), 0), depth - 1), axis)
    side = ', side="left"' if g.chance(0.4) else ""
    return joined(f"mp.locate({x.text}, {target.text}{side})", "i32", 0, axis.cap, target)


def _positive(g: Grammar, axis: Ax) -> Term:
    return g.clamped(g.number(Place(axis, (), 0), 1), 0, 9)


@rule(1, "i32")
def counted(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """How many points have this point's place as their key."""
    if at.axis is None or at.axis.part or (axis := _asked(g, at)) is None:
        return None
    into = g.pick([a for a in at.axis.chain() if not a.part])
    key = g.exactly(g.number(Place(axis, (), 0), depth - 1), axis)
    where = _where(g, axis, depth)
    return joined(f"mp.histogram({key.text}, {into.text}{where})", "i32", 0, axis.cap, into.index)


def _where(g: Grammar, axis: Ax, depth: int) -> str:
    return f", where={g.truth(Place(axis, (), 0), depth - 1).text}" if g.chance(0.4) else ""


@rule(1, "i32")
def ranked(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    axes = [a for a in at.axis.chain() if not a.part and a.cap <= 256] if at.axis else []
    if not axes or not g.spend(at, 2):
        return None
    axis = g.pick(axes)
    key = g.exactly(g.number(Place(axis, (), 0), depth - 1), axis)
    return joined(f"mp.rank({key.text}{_where(g, axis, depth)})", "i32", 0, axis.cap, axis.index)


@rule(3, "i32", "i64", "u8", "bool")
def elsewhere(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """A computed value at another point."""
    axes = g.whole_axes()
    if not axes or not g.spend(at, 2):
        return None
    axis = g.pick(axes)
    x = g.exactly(g.number(at.deeper(axis), depth - 1, dtype), axis)
    index = g.number(Place(at.axis, at.bound, 0), depth - 1)
    other, lo, hi = "", min(x.lo, 0), max(x.hi, 0)
    if g.chance(0.4) and dtype in ("i32", "i64"):
        value = g.small()
        other, lo, hi = f", other={value}", min(lo, value), max(hi, value)
    return joined(f"mp.at({x.text}, {index.text}{other})", dtype, lo, hi, index)


@rule(2, "i32")
def searched(g: Grammar, at: Place, depth: int, dtype: str) -> Term | None:
    """The smallest number for which a condition holds that once true stays true."""
    if not g.spend(at, 2):
        return None
    if g.chance(0.4):
        batch = _batch_search(g, depth)
        if batch is not None:
            return batch
    here = Place(at.axis, at.bound, 0)
    bound, most = g.number(here, depth - 1), g.whole(1, 40)
    lo = g.small(-9, 9)
    step = g.whole(1, 4)
    cond = g.pick(
        [f"t * {step} > {bound.text}", f"{bound.text} - t <= {lo}", f"t >= {bound.text}",
         f"(t // {step + 1}) + {step} > {bound.text}", f"mp.minimum(t, 30) >= {bound.text}"]
    )  # fmt: skip
    low, high, of = str(lo), str(lo + most), [bound]
    if g.chance(0.4):
        end = g.clamped(g.number(here, 1), -20, 60)
        high, of = end.text, [bound, end]
    top = max(lo + most, 60)
    text = f"mp.bisect({low}, {high}, lambda t: {cond})"
    return joined(text, "i32", lo, top, *of)


def _batch_search(g: Grammar, depth: int) -> Term | None:
    """One number of the batch, tried against a sum over all points."""
    axes = [a for a in g.whole_axes(512) if a.above is None]
    if not axes:
        return None
    axis = g.pick(axes)
    x = g.clamped(g.number(Place(axis, (), 0), depth - 1), 0, 60)
    room, hi = g.number(Place(None, (), 0), 1), g.whole(2, 80)
    cond = g.pick(
        [f"mp.sum(mp.cdiv({x.text}, t), over={axis.text}) <= {room.text}",
         f"mp.sum({x.text} < t, over={axis.text}) >= {room.text}",
         f"mp.max({x.text}, over={axis.text}) < t",
         f"mp.sum(mp.minimum({x.text}, t), over={axis.text}) > {room.text}"]
    )  # fmt: skip
    return Term(f"mp.bisect(1, {hi}, lambda t: {cond})", "i32", None, 1, hi)
