"""What random plans came down to: small plans that once were refused, or that a kernel got wrong."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import boolean, i32, i64, u8, u16
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def settled(
    n: Annotated[i32, "req", mp.below(5)],
    x: Annotated[i32, "req", "k", mp.below(3)],
    y: Annotated[i32, "req", mp.below(9), mp.HOST],
):
    """Ranges decide what is chosen: what is read for the choice changes nothing."""
    req = mp.axis("req")
    return dict(chosen=mp.where((x[req, n] < 3) & (y <= 8), n, -1))


def _settled(rng, n):
    return counts(rng, n, x=rng.integers(0, 3, (n, 5)), y=rng.integers(0, 9, n))


@sample(settled, _settled, req=6)
def _(given, to: Loops):
    to.put("chosen", np.asarray(given["n"]).tolist())


@mp.plan
def under_selected(
    chosen: Annotated[boolean, "req"],
    n: Annotated[i32, "req", mp.below(4)],
    x: Annotated[i32, "pick", mp.below(5)],
):
    """Rows of one width under the points that are selected; a second selection among those."""
    req = mp.axis("req")
    some = mp.compact(req, where=chosen)
    col = mp.dense(some, 3)
    tok = mp.ragged(col, n)
    pick = mp.compact(some, where=some.index % 2 == 0)
    return dict(
        cols=col.index,
        starts=tok.indptr,
        below=mp.sum(col.offset + n, over=col, to=req),
        longest=mp.max(tok.index, over=tok, to=req),
        running=mp.on(pick, mp.cumsum(x)),
    )


def _under_selected(rng, n):
    return counts(rng, n, 4, chosen=rng.random(n) < 0.6, x=rng.integers(0, 5, 6))


@sample(under_selected, _under_selected, req=6)
def _(given, to: Loops):
    n, chosen = given["n"].tolist(), given["chosen"].tolist()
    some = [r for r in range(len(n)) if chosen[r]]
    lengths = [n[r] for r in some for _ in range(3)]
    starts = start(lengths)
    to.put("cols", list(range(3 * len(some))))
    to.put("starts", starts, starts[-1])
    to.put("below", [3 + 3 * k if c else 0 for k, c in zip(n, chosen, strict=True)])
    ends = {r: starts[3 * at + 3] - 1 for at, r in enumerate(some) if n[r]}
    to.put("longest", [ends.get(r, -(2**31)) for r in range(len(n))])
    x = np.asarray(given["x"]).tolist()
    to.put("running", [sum(x[: at + 1]) for at in range(-(-len(some) // 2))])


@mp.plan
def alike(
    n: Annotated[i32, "req", mp.below(4)],
    ends: Annotated[u8, "req", mp.below(2)],
    x: Annotated[u16, "some", mp.below(10)],
    flag: Annotated[boolean, 1],
):
    """What differs from row to row only, where the points of a row are told apart."""
    req = mp.axis("req")
    some = mp.compact(req, where=n > 0)
    row = mp.pieces(some, head=1, rest=1)
    last = mp.ragged(req, i32(ends))
    deep = mp.ragged(last, n)
    col = mp.dense(req, 2)
    slot = mp.dense(None, 12)
    early = mp.where(col.index < 0, False, n < 2)
    chosen = mp.at(some.index + 7, 1)
    return dict(
        moved=mp.put(slot, mp.partition(early), col.index, init=-1),
        wide=mp.on(row, i32(x)),
        rests=mp.on(deep, deep.index),
        found=mp.locate(some.index, n),
        pairs=mp.sum((some.index == mp.given(req.index)) & (row.size > 2), over=some),
        smallest=mp.put(slot, 3, n, where=True, combine="min", init=9),
        never=mp.put(slot, 3, n, where=False, combine="max", init=5),
        other=mp.where(flag[0], chosen, 0),
    )


def _alike(rng, n):
    return counts(
        rng, n, 4, ends=rng.integers(0, 2, n), x=rng.integers(0, 10, 6), flag=rng.random(1) < 0.5
    )


@sample(alike, _alike, req=6)
def _(given, to: Loops):
    n, ends = given["n"].tolist(), np.asarray(given["ends"]).tolist()
    x, some = np.asarray(given["x"]).tolist(), [r for r, k in enumerate(n) if k]
    points = [2 * r + j for r in range(len(n)) for j in range(2)]
    order = [p for p in points if n[p // 2] < 2] + [p for p in points if n[p // 2] >= 2]
    to.out["moved"][...] = -1
    for place, p in enumerate(order):
        to.out["moved"][place] = p
    to.put("wide", [x[at] for at in range(len(some)) for _ in range(2)])
    to.put("rests", list(range(sum(k for k, e in zip(n, ends, strict=True) if e))))
    to.put("found", [sum(at <= k for at in range(len(some))) for k in n])
    to.put("pairs", [int(r < len(some) and 2 * len(some) > 2) for r in range(len(n))])
    to.out["smallest"][...], to.out["never"][...] = 9, 5
    to.out["smallest"][3] = min([9, *n])
    to.put("other", [8 if given["flag"][0] and len(some) > 1 else 0])


@mp.plan
def far_below(
    n: Annotated[i32, "req", "col", mp.below(3)],
    place: Annotated[i32, "tok", mp.between(-1, 29), mp.DISTINCT],
    state: Annotated[i32, 30, mp.STATE, mp.between(0, 60)],
):
    """An element of a state that a point two levels below its root reads and changes, alone."""
    req = mp.axis("req")
    col = mp.dense(req, 3)
    tok = mp.ragged(col, n)
    return dict(
        changed=mp.update(state[place], mp.minimum(state[place], 9) + tok.offset, where=place >= 0),
        starts=tok.indptr,
    )


def _far_below(rng, n):
    place = rng.permutation(30)
    return counts(rng, n, 4) | {"n": rng.integers(0, 3, (n, 3)), "place": np.where(rng.random(30) < 0.2, -1, place), "state": rng.integers(0, 61, 30)}  # fmt: skip


@sample(far_below, _far_below, req=5)
def _(given, to: Loops):
    place = given["place"].tolist()
    lengths = [k for row in given["n"].tolist() for k in row]
    starts = start(lengths)
    to.put("starts", starts, starts[-1])
    offsets = [j for k in lengths for j in range(k)]
    for t, j in enumerate(offsets):
        if place[t] >= 0:
            to.out["state"][place[t]] = min(to.out["state"][place[t]], 9) + j


@mp.plan
def settled_later(
    n: Annotated[i32, "req", mp.below(2)],
    x: Annotated[u16, "req", mp.between(250, 300)],
    key: Annotated[i32, "tok", mp.below(3)],
    on: Annotated[boolean, "tok"],
    table: Annotated[i32, 4, mp.below(9)],
):
    """Conditions that never hold, unsigned complements, and rows whose lengths another point decides."""
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    some = mp.compact(tok, where=on)
    first = mp.compact(req, where=mp.at(req.index < 9, 0))
    row = mp.ragged(first, n)
    count = mp.cumsum(n)
    return dict(
        never=mp.where((count < 1) & (count >= 3), table[count], -1),
        inverse=~x >= 0,
        ranks=mp.on(some, mp.rank(key)),
        rows=mp.on(row, row.index),
    )


def _settled_later(rng, n):
    more = {"x": rng.integers(250, 301, n), "key": rng.integers(0, 3, 6), "on": rng.random(6) < 0.7}
    return counts(rng, n, 2, table=rng.integers(0, 9, 4), **more)


@sample(settled_later, _settled_later, req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    key, on = np.asarray(given["key"]).tolist(), np.asarray(given["on"]).tolist()
    to.put("never", [-1] * len(n))
    to.put("inverse", [1] * len(n))
    live = sum(n)
    to.put("ranks", [key[:t].count(key[t]) for t in range(live) if on[t]])
    to.put("rows", list(range(live)))


@mp.plan
def numbers_alone(n: Annotated[i32, "req", mp.below(4)], until: Annotated[i32, mp.below(30)]):
    """Constants in a dtype of their own, and the totals behind the rows of a table."""
    req = mp.axis("req")
    col = mp.dense(req, 3)
    some = mp.compact(req, where=n > 0)
    pair = mp.dense(some, 2)
    wide = mp.where(n > 1, i64(100000), i64(200000))
    narrow = mp.where(n > 1, u8(200), u8(100))
    return dict(
        product=wide * 100000,
        most=mp.max(wide, over=req),
        total=mp.sum(i64(1 << 30) + i64(0 * n), over=req),
        inverse=~narrow == u8(55),
        sorted=mp.sort(i64(0 * n), over=req),
        searched=mp.bisect(9, n - 7, lambda t: t > n),
        cuts=mp.tail(col.cuts, mp.UNDEFINED),
        ends=mp.tail(mp.indptr(col.offset), mp.LAST, until=until),
        keys=mp.histogram(pair.offset + pair.row, req),
    )


@sample(numbers_alone, lambda rng, n: counts(rng, n, 4, until=int(rng.integers(0, 30))), req=6)
def _(given, to: Loops):
    n, until = given["n"].tolist(), int(given["until"])
    wide = [100000 if k > 1 else 200000 for k in n]
    to.put("product", [w * 100000 for w in wide])
    to.put("most", [max(wide, default=-(2**63))])
    to.put("total", [len(n) << 30])
    to.put("inverse", [k > 1 for k in n])
    to.put("sorted", [0] * len(n))
    to.put("searched", [9] * len(n))
    to.put("cuts", list(range(3 * len(n) + 1)))
    to.only("cuts", 3 * len(n) + 1)
    ends = start([0, 1, 2] * len(n))
    room = to.out["ends"].size
    to.put("ends", (ends + [ends[-1]] * max(until + 1 - len(ends), 0))[:room])
    keys = [at + j for at in range(sum(k > 0 for k in n)) for j in range(2)]
    to.put("keys", [keys.count(r) for r in range(len(n))])
