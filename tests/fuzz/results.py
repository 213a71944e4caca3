"""The outputs of a plan: values, records, joins, places that are written, and what their tails hold."""

from __future__ import annotations

from tests.fuzz.grammar import Grammar
from tests.fuzz.kernels import opaque
from tests.fuzz.leaves import ALL, own_dims
from tests.fuzz.patching import patched
from tests.fuzz.terms import SPANS, WORDS, Ax, Place, Term

DTYPES = ("i32", "i32", "i32", "i64", "u8", "u16", "bool")


def outputs(g: Grammar) -> None:
    """Draws what a plan returns."""
    for _ in range(g.whole(1, 4)):
        g.budget += 2
        axis = g.pick([*g.axes, *g.axes, None])
        kind = g.pick(["value", "value", "value", "on", "scan", "size", "put", "put", "update"])
        match kind:
            case "scan" if axis is not None and not axis.part:
                text = _scan(g, axis)
            case "size" if axis is not None:
                text = f"{axis.text}.size"
            case "put":
                text = scattered(g)
            case "update":
                text = changed(g)
            case "on" if axis is not None and not axis.part:
                text = _record(g, axis)
            case _:
                text = _value(g, axis)
        g.outputs.append((g.fresh("out"), text))
    if g.chance(0.1):
        g.outputs.append((g.fresh("out"), patched(g)))
    if g.chance(0.12):
        opaque(g)


def _value(g: Grammar, axis: Ax | None) -> str:
    depth, dtype = g.whole(1, 4), g.pick(DTYPES)
    if axis is not None and axis.part:
        return _joined(g, axis, dtype, depth)
    x = g.number(Place(axis, (), 3), depth, dtype)
    if axis is None or (x.axis == axis and g.chance(0.5)):
        own = x.text if not x.text.lstrip("(-").isdigit() else f"{x.text} + 0 * {_scalar(g)}"
        return tailed(g, own, x.dtype, x.axis, kept=x.axis is not None)
    return tailed(g, f"mp.on({axis.text}, {x.text})", dtype, axis)


def _scalar(g: Grammar) -> str:
    return f"{g.axes[0].text}.size"


def _record(g: Grammar, axis: Ax) -> str:
    dtype = g.pick(DTYPES)
    columns = [
        g.number(Place(axis, (), 2), g.whole(0, 3), dtype).text for _ in range(g.whole(1, 3))
    ]
    return tailed(g, f"mp.on({axis.text}, {', '.join(columns)})", dtype, axis)


def _joined(g: Grammar, part: Ax, dtype: str, depth: int) -> str:
    """Some parts of a row of pieces."""
    whole = part.text.partition(".")[0]
    parts = [a for a in g.axes if a.part and a.text.startswith(f"{whole}.")]
    chosen = [a for a in parts if a == part or g.chance(0.8)]
    row = next(a for a in g.axes if a.text == whole)
    given = ", ".join(
        f"{a.text.partition('.')[2]}={g.number(Place(a, (), 2), depth, dtype).text}" for a in chosen
    )
    return tailed(g, f"mp.join({whole}, {given})", dtype, row, kept=False)


def _scan(g: Grammar, axis: Ax) -> str:
    """A running sum as an output of its own, with the total behind it."""
    own = axis if axis.kind in ("ragged", "compact", "pieces") and g.chance(0.5) else None
    x = g.exactly(g.clamped(g.number(Place(axis, (), 2), 2), -9, 99), axis)
    text = f"{own.text}.indptr" if own else f"mp.indptr({x.text})"
    if g.chance(0.15):
        text = f"{axis.text}.cuts"
    elif not own and g.chance(0.4):
        text = f"mp.cumsum({x.text})"
    match g.whole(0, 3):
        case 0:
            return f"mp.tail({text}, mp.LAST, until={_until(g)})"
        case 1:
            return f"mp.tail({text}, mp.UNDEFINED)"
        case 2:
            return f"mp.tail({text}, mp.LAST)"
        case _:
            return text


def _until(g: Grammar) -> str:
    return g.clamped(g.number(Place(None, (), 1), 1), -3, 300).text


def tailed(g: Grammar, x: str, dtype: str, axis: Ax | None, kept: bool = True) -> str:
    """``x`` with a tail of some kind."""
    if kept and axis is not None and g.chance(0.15):
        x = f"mp.keep({x}, where={g.truth(Place(axis, (), 2), 2).text})"
    until = f", until={_until(g)}" if g.chance(0.25) else ""
    match g.whole(0, 5):
        case 0:
            return f"mp.tail({x}, mp.UNDEFINED)"
        case 1 | 2:
            return f"mp.tail({x}, {filling(g, dtype, axis)}{until})"
        case 3:
            return f"mp.tail({x}, {_constant(g, dtype)}{until})"
        case _:
            return x


def _constant(g: Grammar, dtype: str) -> str:
    if dtype == "bool":
        return g.pick(["True", "False"])
    return str(g.small(0 if SPANS[dtype][0] == 0 else -9, 9))


def filling(g: Grammar, dtype: str, axis: Ax | None) -> str:
    """What a cell beyond the live points holds: made of its own place and of numbers of the batch."""
    cell: tuple[Term, ...] = (axis.index,) if axis is not None and not axis.part else ()
    x = g.number(Place(None, cell, 0, cell=True), g.whole(0, 2), dtype)
    return x.text if not x.text.lstrip("(-").isdigit() else _constant(g, dtype)


def _places(g: Grammar, axis: Ax | None, extents: list[int], combine: str) -> tuple[list[str], str]:
    """Where values go along each dimension, and what must hold."""
    found: list[Term] = []
    guards: list[str] = []
    for extent in extents:
        x = g.number(Place(axis, (), 1), 1, g.pick(["i32", "i32", "i32", "i64"]))
        if g.chance(0.7):
            x = g.clamped(x, 0, extent - 1)
        elif g.chance(0.5):
            guards.append(f"({x.text} >= 0) & ({x.text} < {extent})")
        found.append(x)
    return [x.text for x in found], " & ".join(guards)


def _alone(g: Grammar, axis: Ax | None, extents: list[int]) -> tuple[list[str], str]:
    """Places of which no two points have the same."""
    if axis is None:
        return [str(g.whole(0, e - 1)) for e in extents], ""
    room = extents[0] if len(extents) == 1 else extents[0] * extents[1]
    if len(extents) == 1:
        choices = [axis.index.text] if axis.cap <= room else []
        if axis.cap <= room:
            choices += [f"{axis.cap - 1} - {axis.index.text}", f"mp.partition({g.exactly(g.truth(Place(axis, (), 0), 1), axis).text})"]  # fmt: skip
        if not axis.part and len(own_dims(axis)) == 1 and len(g.inputs) < 10:
            lo = g.pick([0, -1, -3] if axis.cap <= room else [-1, -3])
            own = g.array("i32", own_dims(axis), lo, room - 1, "DISTINCT", stem="at")
            choices += [own.name, own.name]
            return [g.pick(choices)], f"({own.name} >= 0)" if own.lo else ""
        if not choices:
            return [f"{axis.index.text} % {room}"], f"({axis.index.text} < {room})"
        return [g.pick(choices)], ""
    above = axis.above
    if above is not None and above.cap <= extents[0] and axis.most <= extents[1]:
        return [above.index.text, axis.offset.text], ""
    return [f"{axis.index.text} // {extents[1]}", f"{axis.index.text} % {extents[1]}"], (
        f"({axis.index.text} < {room})"
    )


COMBINES = ("only", "only", "distinct", "add", "max", "min", "or", "last")


def _combining(g: Grammar, dtype: str) -> str:
    if dtype in ("i32", "i64"):
        return g.pick(COMBINES)
    return g.pick(["only", "only", "distinct", "last"])


def _write(g: Grammar, extents: list[int], dtype: str) -> tuple[list[str], str, str]:
    """Indices, the value, and the rest of the arguments of a word that writes."""
    axis = g.pick([*g.axes, *g.axes, None])
    combine = _combining(g, dtype)
    alone = combine in ("only", "distinct")
    places, guard = _alone(g, axis, extents) if alone else _places(g, axis, extents, combine)
    value = g.number(Place(axis, (), 2), 2, dtype)
    value = g.clamped(value, -100, 100) if combine == "add" else value
    if g.chance(0.3):
        also = g.truth(Place(axis, (), 1), 1).text
        guard = f"{guard} & {also}" if guard else also
    rest = f", where={guard}" if guard else ""
    rest += f', combine="{combine}"' if combine != "only" else ""
    return places, value.text, rest


def scattered(g: Grammar) -> str:
    """Values that go where an index says."""
    into = g.pick(g.whole_axes())
    dtype = g.pick(DTYPES)
    rows = into.kind == "dense" and into.above is not None
    extents = [into.cap // into.most, into.most] if rows else [into.cap]
    places, value, rest = _write(g, extents, dtype)
    index = places[0] if len(places) == 1 else f"({', '.join(places)})"
    if g.chance(0.6):
        rest += f", init={filling(g, dtype, into)}"
    return f"mp.put({into.text}, {index}, {value}{rest})"


def changed(g: Grammar) -> str:
    """Elements of a state that become something else."""
    dtype = g.pick(("i32", "i32", "i64", "u8", "bool"))
    dims: list[str | int] = []
    for _ in range(g.pick([1, 1, 2])):
        name = g.fresh("room")
        g.sizes[name] = g.whole(3, 24)
        dims.append(name)
    lo, hi = (None, None) if dtype == "bool" or g.chance(0.2) else (0, 60)
    state = g.array(dtype, tuple(dims), lo, hi, "STATE", stem="state")
    places, value, rest = _write(g, [g.sizes[str(d)] for d in dims], dtype)
    element = f"{state.name}[{', '.join(places)}]"
    if g.chance(0.3) and dtype in ("i32", "i64") and "combine" not in rest:
        value = f"mp.minimum({element}, 9) + {value}"
    return f"mp.update({element}, {value}{rest})"


__all__ = ["ALL", "WORDS", "outputs"]
