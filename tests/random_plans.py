"""Random well-typed plans and batches for them, for Hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from hypothesis import strategies as st

import metaplan as mp
from metaplan import boolean, i32, i64
from metaplan.lang.axes import Axis
from metaplan.lang.plan import Plan
from metaplan.lang.values import Value

REQ, STATE = 5, 7
SIZES = {"req": REQ, "state": STATE}
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(slots=True)
class Grammar:
    """Draws expressions whose values stay small, so that few are refused for their range."""

    draw: Draw
    inputs: dict[str, Value]
    axes: list[Axis]
    children: dict[str, list[Axis]] = field(default_factory=dict)
    scanned: set[str] = field(default_factory=set)
    copy: Value | None = None

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def small(self, lo: int = -9, hi: int = 9) -> int:
        return self.draw(st.integers(lo, hi))

    def branch(self, axis: Axis) -> list[Axis]:
        """``axis`` and those above it, the root first."""
        from metaplan import ir

        names = [a.name for a in ir.chain(axis.ir)]
        return [a for a in self.axes if a.name in names]

    def leaf(self, axis: Axis) -> Value:
        kinds = ["input", "input", "offset", "index", "scalar", "size"]
        kind = self.pick(*kinds, *([] if self.copy is None else ["copy", "copy"]))
        own = self.pick(*self.branch(axis))
        match kind:
            case "offset":
                return own.offset
            case "index":
                return own.index % 16
            case "scalar":
                return self.inputs["s"]
            case "size":
                return own.size % 8
            case "copy" if self.copy is not None:
                return self.copy
            case _:
                return self.inputs[self.pick("n", "x")]

    def number(self, axis: Axis, depth: int, sums: bool = True) -> Value:
        """An int32 in about -100..100 that lives on ``axis`` or above it."""
        if depth == 0:
            return self.leaf(axis)

        def down() -> Value:
            return self.number(axis, depth - 1, sums)

        kinds = ["+", "-", "min", "max", "*", "//", "%", "by", "where", "table", "bits", "shift",
                 "expect", "wide", "bool", "leaf"]  # fmt: skip
        if sums:
            kinds += ["cumsum", "reduce", "reduce", "total"]
        match self.pick(*kinds):
            case "+":
                return _clamped(down() + down())
            case "-":
                return _clamped(down() - down())
            case "min":
                return mp.minimum(down(), self.small())
            case "max":
                return mp.maximum(self.small(), down())
            case "*":
                return _clamped(down() * self.small())
            case "//":
                return down() // self.small(1, 9)
            case "%":
                return down() % self.small(1, 9)
            case "by":
                by = mp.maximum(down(), 1)
                return self.pick(down() // by, down() % by)
            case "where":
                return mp.where(self.truth(axis, depth - 1, sums), down(), down())
            case "table":
                at = down()
                inside = (at >= 0) & (at < STATE)
                return mp.where(inside, self.inputs["table"][at, self.small(0, 2)], self.small())
            case "bits":
                a, b = down(), down()
                return self.pick(a & 15, a | 3, a ^ b, ~a, -a)
            case "shift":
                return self.pick(down() >> self.small(0, 4), (down() & 7) << self.small(0, 3))
            case "expect":
                return mp.expect(down(), self.small(-9, 0), self.small(0, 9))
            case "wide":
                return i32((i64(down()) * 1000000007 + self.inputs["y"]) % self.small(1, 99))
            case "bool":
                return i32(self.truth(axis, depth - 1, sums))
            case "cumsum" if axis is self.axes[0] or axis.name in self.scanned:
                x = self.number(axis, depth - 1, sums=False)
                return _clamped(self.pick(mp.cumsum, mp.indptr)(x + 0 * axis.offset) + 0)
            case "reduce" if self.children.get(axis.name):
                child = self.pick(*self.children[axis.name])
                x = self.number(child, depth - 1, sums=False)
                found = self.pick(mp.sum, mp.max, mp.min)(x, over=child)
                return _clamped(found)
            case "total":
                x = self.number(self.axes[0], depth - 1, sums=False)
                return _clamped(self.pick(mp.sum, mp.max, mp.min)(x, over=self.axes[0]))
            case _:
                return self.leaf(axis)

    def truth(self, axis: Axis, depth: int, sums: bool = True) -> Value:
        if depth <= 0:
            return self.inputs["p"]
        a, b = (self.number(axis, depth - 1, sums) for _ in range(2))
        test = self.pick(a < b, a <= b, a == b, a != b, a > 0)
        more = self.pick(None, None, "&", "|", "~", "same")
        match more:
            case "&":
                return test & self.truth(axis, depth - 1, sums)
            case "|":
                return test | self.truth(axis, depth - 1, sums)
            case "~":
                return ~test
            case "same":
                return test == self.inputs["p"]
            case _:
                return test


def _clamped(x: Value) -> Value:
    return mp.minimum(mp.maximum(x, -100), 100)


def _tail(g: Grammar, axis: Axis, value: Value) -> mp.Value | mp.Out:
    out = mp.on(axis, value)
    scalar = g.inputs["s"]
    match g.pick("keep", "number", "expression", "until", "where", "undefined"):
        case "number":
            return mp.tail(out, g.small())
        case "expression":
            return mp.tail(out, axis.index * g.small() - scalar)
        case "until":
            return mp.tail(out, g.small(), until=mp.maximum(scalar, 0) * 2)
        case "where":
            return mp.tail(mp.keep(out, where=g.truth(axis, 1)), -1)
        case "undefined":
            return mp.tail(out, mp.UNDEFINED)
        case _:
            return out


@st.composite
def plans(draw: Draw, depth: int = 3, copied: bool = False) -> Plan:
    """A plan; where ``copied``, two copies of it whose values differ."""

    @mp.plan
    def random_plan(
        n: Annotated[i32, "req", mp.below(4)],
        x: Annotated[i32, "req", mp.between(-20, 20)],
        y: Annotated[i64, "req", mp.between(-(1 << 40), 1 << 40)],
        p: Annotated[boolean, "req"],
        table: Annotated[i32, "state", 3, mp.between(-20, 20)],
        s: Annotated[i32, mp.between(-5, 5)],
    ):
        req = mp.axis("req")
        inputs = {"n": n, "x": x, "y": y, "p": p, "table": table, "s": s}
        step = mp.steps(2, name="step") if copied else None
        g = Grammar(draw, inputs, [req], copy=None if step is None else step.index * 3 - 1)
        tok = mp.ragged(req, n)
        lane = mp.dense(tok, 2)
        page = mp.ragged(req, _length(g, req), most=5)
        win = mp.ragged(tok, _length(g, tok), most=4)
        row = mp.pieces(req, head=_length(g, req), rest=mp.minimum(n, 2))
        kept = mp.compact(tok, where=g.truth(tok, 2, sums=False))
        some = mp.compact(req, where=g.truth(req, 2, sums=False))
        g.axes += [tok, lane, page, win, row.head, row.rest, kept, some]
        g.children = {"req": [tok, page, row.head, kept, some], "tok": [win, lane, kept]}
        g.children = {"req": [tok, page, row.head, some], "tok": [win, lane]}
        g.scanned = {"tok"}
        chosen = draw(st.lists(st.sampled_from(g.axes), min_size=1, max_size=4))
        outputs: dict[str, Any] = {"anchor": x + i32(p) + i32(y % 3) + table[0, 0] + s + n}
        if step is not None:
            outputs["copied"] = n + step.index
        for at, axis in enumerate(chosen):
            if axis in (row.head, row.rest):
                head, rest = g.number(row.head, depth), g.number(row.rest, depth)
                outputs[f"out_{at}"] = mp.tail(mp.join(row, head=head, rest=rest), -1)
            else:
                outputs[f"out_{at}"] = _tail(g, axis, g.number(axis, depth))
        outputs["starts"] = draw(st.sampled_from([tok, page, win, row, kept, some])).indptr
        outputs["total"] = draw(st.sampled_from([tok, page, win, row, kept, some])).size
        return outputs

    return random_plan


def _length(g: Grammar, axis: Axis) -> Value:
    return mp.minimum(mp.maximum(g.number(axis, 1, sums=False), 0), 4)


def batch(seed: int, live: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, live])
    return {
        "req": live,
        "n": rng.integers(0, 4, live).astype(np.int32),
        "x": rng.integers(-20, 21, live).astype(np.int32),
        "y": rng.integers(-(1 << 40), 1 << 40, live),
        "p": rng.random(live) < 0.5,
        "table": rng.integers(-20, 21, (STATE, 3)).astype(np.int32),
        "s": int(rng.integers(-5, 6)),
    }
