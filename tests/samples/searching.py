"""The smallest number for which a condition holds: one of the batch, and one for each point."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample


@mp.plan
def chunked(
    n: Annotated[i32, "req", mp.below(400)],
    room: Annotated[i32, mp.between(1, 60)],
    most: Annotated[i32, mp.between(-5, 300)],
):
    req = mp.axis("req")
    half = mp.dense(req, 2)
    chunk = mp.bisect(1, 400, lambda x: mp.sum(mp.cdiv(n + x, 1) // x, over=req) <= room)
    some = mp.bisect(4, most, lambda x: mp.max(n, over=req) < 3 * x)
    halves = mp.bisect(
        1, 200, lambda x: mp.sum(mp.sum((n + half.offset) // 2 // x, over=half), over=req) <= room
    )
    wide = mp.bisect(
        i64(most) * 10**9, 400 * 10**9, lambda x: mp.sum(i64(n), over=req) * 10**9 // 3 <= x
    )
    split = mp.ragged(req, mp.cdiv(n, 16) // chunk)
    return dict(
        chunk=chunk,
        some=some,
        halves=halves,
        wide=wide,
        parts=n // mp.maximum(chunk, 1),
        splits=mp.tail(split.offset * 1000 + chunk, -1),
        splits_indptr=split.indptr,
        padded=mp.tail(n, chunk),
    )


def _rooms(rng, n):
    room, most = int(rng.integers(1, 61)), int(rng.integers(-5, 301))
    return {"n": rng.integers(0, 400, n), "room": room, "most": most, "req": n}


def _smallest(lo: int, hi: int, holds) -> int:
    return next((x for x in range(lo, hi) if holds(x)), max(lo, hi))


@sample(chunked, _rooms, req=6)
def _(given, to: Loops):
    n = np.asarray(given["n"]).tolist()
    room, most = int(given["room"]), int(given["most"])
    chunk = _smallest(1, 400, lambda x: sum((k + x) // x for k in n) <= room)
    to.put("chunk", [chunk])
    to.put("some", [_smallest(4, most, lambda x: max(n, default=-(2**31)) < 3 * x)])
    halves = _smallest(1, 200, lambda x: sum((k + h) // 2 // x for k in n for h in (0, 1)) <= room)
    to.put("halves", [halves])
    third = sum(n) * 10**9 // 3
    to.put("wide", [max(min(max(most * 10**9, third), 400 * 10**9), most * 10**9)])
    to.put("parts", [k // max(chunk, 1) for k in n])
    rows = [-(-k // 16) // chunk for k in n]
    to.put("splits", [j * 1000 + chunk for k in rows for j in range(k)], -1)
    ends = [sum(rows[:r]) for r in range(len(n) + 1)]
    to.put("splits_indptr", ends, ends[-1])
    to.put("padded", n, chunk)


@mp.plan
def bisected(
    n: Annotated[i32, "req", mp.below(6)],
    sorted_: Annotated[i32, "req", "cell", mp.between(-50, 50)],
    x: Annotated[i64, "req", mp.between(0, 10**12)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    lane = mp.dense(tok, 40)
    place = mp.bisect(0, 9, lambda p: sorted_[req, p] >= tok.offset * 5 - 9)
    return dict(
        place=mp.tail(place, -1),
        own=mp.bisect(0, n, lambda p: sorted_[req, p] >= 0),
        root=mp.bisect(i64(0), 1000001, lambda r: r * r > x) - 1,
        lanes=mp.bisect(0, lane.offset // 5, lambda p: sorted_[req, p] > lane.offset - 20),
        lowest=mp.bisect(-(2**31), 2**31 - 1, lambda p: (p >> 3) >= tok.offset - n),
        summed=mp.fold(tok, lambda c: dict(s=c.s + mp.bisect(0, 9, lambda p: sorted_[req, p] >= c.s)),
                       s=mp.carry(-9, -9, 99)).last.s,
    )  # fmt: skip


def _sorted(rng, n):
    cells = np.sort(rng.integers(-50, 51, (n, 9)), axis=1)
    return counts(rng, n, 6, sorted_=cells, x=rng.integers(0, 10**12, n))


@sample(bisected, _sorted, req=6)
def _(given, to: Loops):
    n, x = np.asarray(given["n"]).tolist(), np.asarray(given["x"]).tolist()
    cells = np.asarray(given["sorted_"]).tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    find = lambda r, hi, v: _smallest(0, hi, lambda p: cells[r][p] >= v)  # noqa: E731
    to.put("place", [find(r, 9, j * 5 - 9) for r, j in tok], -1)
    to.put("own", [find(r, k, 0) for r, k in enumerate(n)])
    to.put("root", [int(v**0.5) for v in x])
    to.put("lanes", [find(r, i // 5, i - 19) for r, _ in tok for i in range(40)])
    to.put("lowest", [(j - n[r]) * 8 for r, j in tok])
    sums = []
    for r, k in enumerate(n):
        s = -9
        for _ in range(k):
            s += find(r, 9, s)
        sums.append(s)
    to.put("summed", sums)
