"""What random plans came down to, where sums and folds meet what they are made of."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import boolean, i32, i64, u8, u16
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def beside_a_fold(
    n: Annotated[i32, "req", mp.below(6)],
    x: Annotated[i32, 6, mp.between(-5, 9)],
    table: Annotated[i32, 4, mp.below(3)],
):
    """A running sum that all points ask for, beside a fold; reads that never happen count nothing."""
    req = mp.axis("req")
    fold = mp.fold(req, lambda c: dict(a=mp.minimum(c.a + n, 9)), a=mp.carry(0, 0, 9))
    asked = mp.sum((mp.cumsum(n) < mp.given(n)) & (n > 1), over=req)
    return dict(both=fold.before.a + asked, never=mp.where(n < 0, table[x[n]], 7))


@sample(
    beside_a_fold,
    lambda rng, n: counts(rng, n, 6, x=rng.integers(-5, 10, 6), table=rng.integers(0, 3, 4)),
    req=6,
)
def _(given, to: Loops):
    n = given["n"].tolist()
    so_far = [sum(n[: r + 1]) for r in range(len(n))]
    carried = [min(sum(n[:r]), 9) for r in range(len(n))]
    asked = [sum(so_far[r] < k and n[r] > 1 for r in range(len(n))) for k in n]
    to.put("both", [a + b for a, b in zip(carried, asked, strict=True)])
    to.put("never", [7] * len(n))


@mp.plan
def looked_twice(
    n: Annotated[u16, "req", mp.below(4)],
    top: Annotated[u16, mp.below(4)],
    on: Annotated[boolean, "tok"],
    x: Annotated[u8, "some", mp.below(4)],
    y: Annotated[i32, "deep", mp.between(-9, 9)],
):
    """Sums of sums over points that are selected, one number for all that ask, parts as long as their row."""
    req = mp.axis("req")
    row = mp.pieces(req, head=i32(n))
    left = mp.ragged(row, 0)
    right = mp.ragged(row.head, 1)
    tok = mp.ragged(req, i32(n))
    some = mp.compact(tok, where=on)
    after = mp.fold(req, lambda c: dict(a=mp.minimum(c.a + 1, 4)), a=mp.carry(0, 0, 4)).after.a
    deep = mp.ragged(mp.ragged(req, 1, name="one"), after)
    room = mp.dense(None, 5)
    return dict(
        sizes=right.size + 10 * left.size,
        within=mp.on(tok, mp.min(mp.sum(x, over=some, to=req), over=some)),
        asked=mp.sum(mp.where(room.index < mp.given(i32(n)), top == 0, False), over=room),
        running=mp.indptr(mp.maximum(mp.max(y, over=deep), -100)),
    )


def _looked_twice(rng, n):
    more = {"on": rng.random(18) < 0.6, "x": rng.integers(0, 4, 18)}
    return counts(rng, n, 4, top=int(rng.integers(0, 4)), y=rng.integers(-9, 10, 30), **more)


@sample(looked_twice, _looked_twice, req=6)
def _(given, to: Loops):
    n, top = given["n"].tolist(), int(given["top"])
    on, x, y = (np.asarray(given[name]).tolist() for name in ("on", "x", "y"))
    to.put("sizes", [sum(n)])
    place = {t: at for at, t in enumerate(t for t in range(sum(n)) if on[t])}
    rows = [range(a, b) for a, b in pairwise(start(n))]
    sums = [sum(x[place[t]] for t in row if on[t]) for row in rows]
    within = [s if on[t] else 2**31 - 1 for s, row in zip(sums, rows, strict=True) for t in row]
    to.put("within", within)
    to.put("asked", [k if top == 0 else 0 for k in n])
    ends = start([min(r + 1, 4) for r in range(len(n))])
    most = start([max(y[a:b]) for a, b in pairwise(ends)])
    to.put("running", most, most[-1])


@mp.plan
def selected_by_a_row(
    n: Annotated[i32, "req", mp.below(3)],
    width: Annotated[i32, "tok", mp.below(3)],
    x: Annotated[i32, "col", mp.between(-9, 9)],
):
    """Points that what lies below them selects, combined along rows above."""
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    col = mp.ragged(tok, width)
    some = mp.compact(tok, where=mp.max(x, over=col) > 2)
    return dict(most=mp.max(mp.max(tok.offset + 1 + 0 * some.index, over=some), over=tok))


def _selected_by_a_row(rng, n):
    more = {"width": rng.integers(0, 3, 12), "x": rng.integers(-9, 10, 24)}
    return counts(rng, n, 3, **more)


@sample(selected_by_a_row, _selected_by_a_row, req=6)
def _(given, to: Loops):
    n, width, x = (np.asarray(given[name]).tolist() for name in ("n", "width", "x"))
    rows, cols = start(n), start(width)
    found = [
        [t - first + 1 for t in range(first, last) if max(x[cols[t] : cols[t + 1]], default=0) > 2]
        for first, last in pairwise(rows)
    ]
    to.put("most", [max(places, default=-(2**31)) for places in found])


@mp.plan
def limited_before(
    x: Annotated[i32, "req", mp.below(4)], table: Annotated[i32, 8, mp.between(-9, 9)]
):
    """What holds at the point that reads says nothing of the points before it, which it sums up."""
    req = mp.axis("req")
    before = mp.cumsum(mp.minimum(x, 1))
    return dict(out=mp.on(req, mp.where(x < 1, table[mp.minimum(before, 7)], -1)))


def _limited_before(rng, n):
    return {"x": rng.integers(0, 4, n), "table": rng.integers(-9, 10, 8), "req": n}


@sample(limited_before, _limited_before, req=12)
def _(given, to: Loops):
    x, table = np.asarray(given["x"]).tolist(), np.asarray(given["table"]).tolist()
    before = start([min(v, 1) for v in x])
    to.put("out", [table[min(b, 7)] if v < 1 else -1 for v, b in zip(x, before, strict=False)])


@mp.plan
def guarded_inside(
    x: Annotated[i32, "req", mp.between(-100000, 100000)],
    inner: Annotated[i32, 4, mp.below(9)],
    table: Annotated[i32, 8, 3, mp.between(-9, 9)],
):
    """A read inside an index happens wherever its own guard holds: the outer one does not stand for it."""
    req = mp.axis("req")
    inside = (x >= 0) & (x < 8)
    column = mp.minimum(inner[mp.minimum(x, 3)], 2)
    return dict(out=mp.on(req, mp.where(inside, table[x, column], -1)))


def _guarded_inside(rng, n):
    x = np.where(rng.random(n) < 0.5, rng.integers(0, 8, n), rng.integers(-100000, 100001, n))
    return {"x": x, "inner": rng.integers(0, 9, 4), "table": rng.integers(-9, 10, (8, 3)), "req": n}


@sample(guarded_inside, _guarded_inside, req=6)
def _(given, to: Loops):
    x, inner, table = (np.asarray(given[name]).tolist() for name in ("x", "inner", "table"))
    to.put("out", [table[v][min(inner[min(v, 3)], 2)] if 0 <= v < 8 else -1 for v in x])


@mp.plan
def wrapping(x: Annotated[i64, "req", mp.below(4)]):
    """Sums that leave int64 come back on the other side, and so does what is proved of them."""
    req, low, high = mp.axis("req"), -(1 << 63), (1 << 63) - 1
    return dict(
        far=mp.minimum(mp.maximum(0 - x + low, 0), 50),
        sums=(x - 5) + (low + 5),
        over=(x + high) + 9,
        least=mp.minimum(x + high, 5),
        place=mp.on(req, x),
    )


@sample(wrapping, lambda rng, n: {"x": rng.integers(0, 4, n), "req": n}, req=6)
def _(given, to: Loops):
    def word(v):
        return (v + (1 << 63)) % (1 << 64) - (1 << 63)

    x, low, high = np.asarray(given["x"]).tolist(), -(1 << 63), (1 << 63) - 1
    to.put("far", [min(max(word(low - v), 0), 50) for v in x])
    to.put("sums", [v + low for v in x])
    to.put("over", [word(v + high + 9) for v in x])
    to.put("least", [min(word(v + high), 5) for v in x])
    to.put("place", x)


@mp.plan
def wrapping_guard(
    x: Annotated[i64, "req"],
    table: Annotated[i32, 4, mp.below(9)],
    wide: Annotated[i32, 40, mp.below(9)],
):
    """A condition on a sum that may leave int64 says nothing of its parts, unless another holds them inside."""
    req, high = mp.axis("req"), (1 << 63) - 1
    place = mp.minimum(mp.maximum(x, 0), 39)
    wraps, low = x + high < 3, (x >= 0) & (x < 90) & (x + 5 < 9)
    return dict(
        short=mp.where(wraps, table[place], -1),
        long=mp.where(wraps, wide[place], -1),
        sides=mp.on(req, mp.where(wraps, place, -1)),
        inside=mp.where(low, table[x], -1),
    )


def _wrapping_guard(rng, n):
    x = np.where(rng.random(n) < 0.6, rng.integers(-5, 12, n), rng.integers(-(1 << 62), 1 << 62, n))
    return {"x": x, "table": rng.integers(0, 9, 4), "wide": rng.integers(0, 9, 40), "req": n}


@sample(wrapping_guard, _wrapping_guard, broken=True, req=6)
def _(given, to: Loops):
    x, table, wide = (np.asarray(given[name]).tolist() for name in ("x", "table", "wide"))
    wraps = [v >= 1 or v + (1 << 63) - 1 < 3 for v in x]
    place = [min(max(v, 0), 39) for v in x]
    kept = [(table[p] if p < 4 else 0) if w else -1 for w, p in zip(wraps, place, strict=True)]
    to.put("short", kept)
    to.put("long", [wide[p] if w else -1 for w, p in zip(wraps, place, strict=True)])
    to.put("sides", [p if w else -1 for w, p in zip(wraps, place, strict=True)])
    to.put("inside", [table[v] if 0 <= v < 4 else -1 for v in x])
