"""What random plans came down to, where a program goes from place to place, or all of its rows lie in one."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import boolean, i32, i64, u8
from tests.samples.core import Loops, counts, sample


@mp.plan
def ranked_below(on: Annotated[boolean, "req"], key: Annotated[boolean, "some"]):
    """Points below the only row ask with what that row reads at its own place among the selected ones."""
    req = mp.axis("req")
    some = mp.compact(req, where=on)
    row = mp.pieces(some, head=4)
    return dict(out=mp.join(row, head=mp.rank(key)))


def _ranked_below(rng, n):
    return {"on": rng.random(n) < 0.7, "key": rng.random(20) < 0.5, "req": n}


@sample(ranked_below, _ranked_below, req=1)
def _(given, to: Loops):
    on, key = np.asarray(given["on"]), np.asarray(given["key"])
    keys = key[: int(on.sum())].tolist()
    to.put("out", [keys[:r].count(k) for r, k in enumerate(keys) for _ in range(4)])


@mp.plan
def converted_places(
    n: Annotated[i32, "req", mp.below(4)], table: Annotated[i32, 3, mp.between(-9, 9)]
):
    """The place of a row, converted, in a loop from row to row, and in what such a loop reads ahead."""
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    wide, narrow = i64(req.index), i32(u8(req.index))
    below = mp.sum(
        mp.fold(req, lambda c: dict(a=c.a + wide), a=mp.carry(i64(0), 0, 99)).after.a, over=req
    )
    return dict(
        ahead=mp.fold(req, lambda c: dict(a=c.a + table[wide % 3]), a=mp.carry(0, -99, 99)).after.a,
        sums=mp.fold(req, lambda c: dict(a=c.a + narrow), a=mp.carry(0, 0, 99)).after.a,
        total=below,
        places=mp.on(tok, wide * 3 + i64(tok.offset)),
    )


@sample(converted_places, lambda rng, n: counts(rng, n, 4, table=rng.integers(-9, 10, 3)), req=6)
def _(given, to: Loops):
    n, table = given["n"].tolist(), np.asarray(given["table"]).tolist()
    rows = range(len(n))
    to.put("ahead", list(accumulate(table[r % 3] for r in rows)))
    to.put("sums", list(accumulate(rows)))
    to.put("total", [sum(accumulate(rows))])
    to.put("places", [3 * r + j for r in rows for j in range(n[r])])


@mp.plan
def none_selected(table: Annotated[i32, 3, 4, mp.below(10)]):
    """A sum over points of which a row has at most one, and no row has any."""
    req = mp.axis("req")
    some = mp.compact(req, where=0 * req.index > 0)
    return dict(out=table[2, mp.sum(0 * some.index, over=some)])


@sample(none_selected, lambda rng, n: {"table": rng.integers(0, 10, (3, 4)), "req": n}, req=5)
def _(given, to: Loops):
    to.put("out", [np.asarray(given["table"])[2, 0]] * given["req"])


@mp.plan
def nested_sides(
    x: Annotated[i32, "req", mp.between(-9, 9)], table: Annotated[i32, 20, mp.between(-9, 9)]
):
    """Values that both sides of a choice need, under choices that need them too."""
    req = mp.axis("req")
    value = x
    for step in range(12):
        bigger, smaller = mp.minimum(value + 1, 9), mp.maximum(value - 1, -9)
        value = mp.where(
            table[(req.index + step) % 20] > value, bigger, table[mp.maximum(smaller, 0)]
        )
    return dict(out=value)


def _nested_sides(rng, n):
    return {"x": rng.integers(-9, 10, n), "table": rng.integers(-9, 10, 20), "req": n}


@sample(nested_sides, _nested_sides, req=5)
def _(given, to: Loops):
    x, table = np.asarray(given["x"]).tolist(), np.asarray(given["table"]).tolist()
    for step in range(12):
        x = [
            min(v + 1, 9) if table[(r + step) % 20] > v else table[max(v - 1, 0)]
            for r, v in enumerate(x)
        ]
    to.put("out", x)


@mp.plan
def settled_promises(
    n: Annotated[i32, "req", mp.between(-3, -1)],
    most: Annotated[i32, "req", mp.between(1, 7)],
    table: Annotated[i32, 8, mp.between(-20, 20)],
):
    """A promise that no data breaks, in front of one that some data does: who counts that knows its place."""
    req = mp.axis("req")
    tok = mp.ragged(req, mp.at(most, n), most=1)
    return dict(starts=tok.indptr, out=table[i64(n) + 2])


def _settled_promises(rng, n):
    more = {"most": rng.integers(1, 8, n), "table": rng.integers(-20, 21, 8)}
    return {"n": rng.integers(-3, 0, n), "req": n, **more}


@sample(settled_promises, _settled_promises, broken=True, req=3)
def _(given, to: Loops):
    n, table = np.asarray(given["n"]).tolist(), np.asarray(given["table"]).tolist()
    to.put("starts", [0] * (len(n) + 1), 0)
    to.put("out", [table[k + 2] if k + 2 >= 0 else 0 for k in n])


@mp.plan
def nothing_before(x: Annotated[i32, "tok", mp.below(9)]):
    """What lies before the only row of a program is a number, and is converted like any other."""
    req = mp.axis("req")
    tok = mp.ragged(req, 2)
    before = mp.indptr(req.offset)
    return dict(out=mp.on(tok, i64(before & 7) + i64(x)), narrow=mp.on(tok, u8(before ^ 3)))


@sample(nothing_before, lambda rng, n: {"x": rng.integers(0, 9, 40), "req": n}, req=1)
def _(given, to: Loops):
    x, rows = np.asarray(given["x"]).tolist(), range(given["req"])
    before = [sum(range(r)) for r in rows]
    to.put("out", [(before[r] & 7) + x[2 * r + j] for r in rows for j in range(2)])
    to.put("narrow", [before[r] ^ 3 for r in rows for _ in range(2)])


@mp.plan
def alike_lengths(
    n: Annotated[i32, "req", mp.below(4)],
    wide: Annotated[i32, mp.below(1500)],
    x: Annotated[i32, "tok", mp.below(9)],
    chosen: Annotated[boolean, "req"],
):
    """Rows as long as all others of the tile: how far to go is one number, and no vector has a largest of it."""
    req = mp.axis("req")
    col = mp.dense(req, 3)
    tok = mp.ragged(col, n)
    entry = mp.ragged(req, wide)
    some = mp.compact(req, where=chosen)
    cell = mp.dense(some, 1500)
    return dict(
        sorted=mp.sort(mp.sum(x, over=tok), over=col),
        entries=mp.on(entry, entry.offset + n),
        cells=mp.on(cell, cell.offset + n),
    )


def _alike_lengths(rng, n):
    more = {"x": rng.integers(0, 9, 27), "chosen": rng.random(n) < 0.6}
    return counts(rng, n, 4, wide=int(rng.integers(0, 1500)), **more)


@sample(alike_lengths, _alike_lengths, req=3)
def _(given, to: Loops):
    n, x, wide = given["n"].tolist(), np.asarray(given["x"]).tolist(), int(given["wide"])
    points, order = iter(x), list[int]()
    for k in n:
        order += sorted(sum(next(points) for _ in range(k)) for _ in range(3))
    to.put("sorted", order)
    to.put("entries", [j + k for k in n for j in range(wide)])
    some = [k for k, c in zip(n, np.asarray(given["chosen"]).tolist(), strict=True) if c]
    to.put("cells", [j + k for k in some for j in range(1500)])


@mp.plan
def sorted_past_a_fold(
    n: Annotated[i32, "req", mp.below(4)],
    x: Annotated[i32, "tok", mp.below(9)],
    state: Annotated[i32, 40, mp.STATE, mp.between(0, 60)],
):
    """Where a value goes is carried along a row, and the value is one of another order of the rows: both in one store."""
    req = mp.axis("req")
    slot = mp.dense(None, 40)
    tok = mp.ragged(req, n)
    order = mp.sort(mp.sum(x, over=tok), over=req)
    place = mp.fold(tok, lambda c: dict(a=mp.minimum(c.a + x, 30)), a=mp.carry(0, 0, 30)).last.a
    return dict(
        out=mp.put(slot, place, order, combine="max", init=-1),
        kept=mp.put(slot, order, req.index, where=place > 4, combine="min", init=99),
        changed=mp.update(state[place], order, where=order > 3, combine="max"),
    )


def _sorted_past_a_fold(rng, n):
    more = {"x": rng.integers(0, 9, 18), "state": rng.integers(0, 61, 40)}
    return counts(rng, n, 4, **more)


@sample(sorted_past_a_fold, _sorted_past_a_fold, req=6)
def _(given, to: Loops):
    n, points = given["n"].tolist(), iter(np.asarray(given["x"]).tolist())
    rows = [[next(points) for _ in range(k)] for k in n]
    order, place = sorted(map(sum, rows)), [min(sum(row), 30) for row in rows]
    to.out["out"][...], to.out["kept"][...] = -1, 99
    for r, (at, value) in enumerate(zip(place, order, strict=True)):
        to.out["out"][at] = max(to.out["out"][at], value)
        to.out["kept"][value] = min(to.out["kept"][value], r if at > 4 else 99)
        if value > 3:
            to.out["state"][at] = max(to.out["state"][at], value)
