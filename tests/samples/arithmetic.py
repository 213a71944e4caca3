"""Integers of every width, floor semantics, and scalars."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import boolean, i32, i64, u8
from tests.samples.core import Loops, counts, sample


@mp.plan
def arithmetic(
    x: Annotated[i32, "req", mp.between(-100, 100)],
    by: Annotated[i32, "req", mp.between(1, 9)],
    y: Annotated[i64, "req", mp.between(-(1 << 40), 1 << 40)],
    b: Annotated[u8, "req"],
    p: Annotated[boolean, "req"],
):
    mp.axis("req")
    return dict(
        div3=x // 3, mod3=x % 3, div4=x // 4, mod4=x % 4, div=x // by, mod=x % by,
        wide_div=y // 7, wide_mod=y % 8, ceil=mp.cdiv(x, 5), up=2 << by, down=x >> 2,
        bits=(x & 12) | 1, flipped=x ^ by, inverted=~x, negative=-x,
        smaller=mp.minimum(x, by * 3), larger=mp.maximum(x, -by),
        mixed=i64(x) * y // 3, narrowed=i32(y % 1000), bytes=u8(x), byte_or=b | u8(by),
        byte_less=b < u8(by), widened=i32(b) * 300, test=p & (x > 0) | ~p & (x < -5),
        chosen=mp.where(p, x, by), bool_same=p == (x > 0), number=i32(p) + i32(x > 0),
        truth=boolean(x % 3), equal=x == by, other=x != by, at_most=x <= by, at_least=x >= by,
    )  # fmt: skip


def _numbers(rng, n):
    return {
        "req": n,
        "x": rng.integers(-100, 101, n).astype(np.int32),
        "by": rng.integers(1, 10, n).astype(np.int32),
        "y": rng.integers(-(1 << 40), 1 << 40, n),
        "b": rng.integers(0, 256, n).astype(np.uint8),
        "p": rng.random(n) < 0.5,
    }


@sample(arithmetic, _numbers, req=40)
def _(given, to: Loops):
    rows = zip(*(np.asarray(given[k]).tolist() for k in ("x", "by", "y", "b", "p")), strict=True)
    made: dict[str, list[int]] = {name: [] for name in to.out}
    for x, by, y, b, p in rows:
        row = dict(
            div3=x // 3, mod3=x % 3, div4=x // 4, mod4=x % 4, div=x // by, mod=x % by,
            wide_div=y // 7, wide_mod=y % 8, ceil=-(-x // 5), up=2 << by, down=x >> 2,
            bits=(x & 12) | 1, flipped=x ^ by, inverted=~x, negative=-x,
            smaller=min(x, by * 3), larger=max(x, -by), mixed=x * y // 3, narrowed=y % 1000,
            bytes=x % 256, byte_or=b | by, byte_less=b < by, widened=b * 300,
            test=(p and x > 0) or (not p and x < -5), chosen=x if p else by,
            bool_same=p == (x > 0), number=p + (x > 0), truth=x % 3 != 0, equal=x == by,
            other=x != by, at_most=x <= by, at_least=x >= by,
        )  # fmt: skip
        for name, value in row.items():
            made[name].append(value)
    for name, values in made.items():
        to.put(name, values)


@mp.plan
def scalars(
    n: Annotated[i32, "req", mp.below(5)],
    shift: Annotated[i32, mp.between(-9, 9)],
    wide: Annotated[i64, mp.between(0, 1 << 50)],
    on: boolean,
):
    req = mp.axis("req")
    return dict(
        shifted=mp.where(on, n + shift, n),
        live=req.size + 0,
        sum_wide=mp.sum(i64(n), over=req) + wide,
        only=mp.keep(req.size * 2, where=on),
    )


@sample(
    scalars,
    lambda rng, n: counts(
        rng, n, shift=int(rng.integers(-9, 10)), wide=int(rng.integers(0, 1 << 50)), on=n % 2 == 0
    ),
    req=6,
)
def _(given, to: Loops):
    n = given["n"].tolist()
    to.put("shifted", [k + given["shift"] if given["on"] else k for k in n])
    to.put("live", [len(n)])
    to.put("sum_wide", [sum(n) + given["wide"]])
    if given["on"]:
        to.put("only", [len(n) * 2])
