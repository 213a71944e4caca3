"""Expressions whose parts share parts, many levels deep: each part is looked at once, not once for each way to it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
import pytest

import metaplan as mp
from metaplan import i32, ir
from metaplan.compiler import build
from metaplan.target import target

DEEP, SECONDS = 40, 30
TABLE = [(7 * k) % 19 - 9 for k in range(20)]
Step = Callable[[Any, Any, Any, int, Any], Any]


@contextmanager
def at_once() -> Iterator[None]:
    """One look for each way to a part would take longer than anyone waits."""

    def late(*_: object) -> None:
        raise TimeoutError(f"took longer than {SECONDS} s")

    kept = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, kept)


def either(cond: bool, then: int, other: int) -> int:
    return then if cond else other


class Words:
    """The words of a step on plain numbers."""

    where, minimum, maximum = staticmethod(either), min, max

    @staticmethod
    def expect(x: int, lo: int, hi: int) -> int:
        return min(max(x, lo), hi)


STEPS: dict[str, Step] = {
    "a condition and both sides": lambda m, v, x, k, t: m.where(
        v > k % 5, m.minimum(v + 1, 9), m.maximum(v - 1, -9)
    ),
    "both sides": lambda m, v, x, k, t: m.where(
        x > k % 5, m.minimum(v + 1, 9), m.maximum(v - 1, -9)
    ),
    "reads on both sides": lambda m, v, x, k, t: m.where(
        v >= 0, t[(v + k) % 20], t[m.maximum(0 - v, 0)]
    ),
    "a read on one side": lambda m, v, x, k, t: m.where(v >= 0, t[v], v + 1),
    "promises on both sides": lambda m, v, x, k, t: m.where(
        m.expect(v, -9, 9) > k % 5, m.expect(v, -8, 8), m.expect(v - 1, -9, 9)
    ),
    "no condition": lambda m, v, x, k, t: m.minimum(m.maximum(v + 1, x), 9 - v),
    "sums": lambda m, v, x, k, t: v + v - v * 2 + x,
    "conditions": lambda m, v, x, k, t: m.where(
        ((v > 2) & (v > k % 3)) & ((v > 2) & (v < 8)), x, v
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_deep_expressions_of_shared_parts_compile_and_run(name: str) -> None:
    step = STEPS[name]
    deep = (
        DEEP if name not in ("reads on both sides", "conditions") else 24
    )  # 128 operators at most

    @mp.plan
    def deeply(
        x: Annotated[i32, "req", mp.between(-9, 9)],
        table: Annotated[i32, 20, mp.between(-9, 9)],
    ):
        v = x + 0 * mp.axis("req").index
        for k in range(deep):
            v = step(mp, v, x, k, table)
        return dict(out=v + 0 * table[0])

    with at_once():
        assert build(deeply.ir, dict(req=19), target("cuda:90")).source
        made = deeply.compile(req=19, device="cpu")
        made(x=np.arange(-9, 10, dtype=np.int32), table=np.array(TABLE, np.int32), req=19)
    want = list(range(-9, 10))
    for k in range(deep):
        want = [step(Words, v, x, k, TABLE) for v, x in zip(want, range(-9, 10), strict=True)]
    assert made.out.tolist() == want


def test_what_stands_in_several_places_is_written_once() -> None:
    one = ir.Const(1)
    both = ir.Bin(ir.Op.ADD, ir.Size(ir.Root("req")), one)
    whole = ir.Bin(ir.Op.MUL, both, ir.Where(ir.Bin(ir.Op.LT, one, both), both, one))
    const = "Const(value=1, dtype=<DType.I32: 'int32'>)"
    size = "Size(axis=Root(name='req', capacity=None))"
    assert repr(both) == f"Bin(op=<Op.ADD: '+'>, lhs={size}, rhs={const})"
    assert repr(whole) == (
        f"Bin(op=<Op.MUL: '*'>, lhs=#1={both}, rhs=Where(cond="
        f"Bin(op=<Op.LT: '<'>, lhs={const}, rhs=#1#), then=#1#, other={const}))"
    )


def test_a_deep_expression_is_as_long_as_it_has_parts() -> None:
    e: ir.Expr = ir.Bin(ir.Op.ADD, ir.Size(ir.Root("req")), ir.Const(1))
    with at_once():
        for _ in range(DEEP):
            e = ir.Where(ir.Bin(ir.Op.LT, e, ir.Const(3)), e, ir.Bin(ir.Op.SUB, e, ir.Const(1)))
        assert repr(e).count("Where(") == DEEP
