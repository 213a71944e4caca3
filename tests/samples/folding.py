"""Numbers carried from point to point: along rows, along the batch, several at once, reading memory."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def folds(
    n: Annotated[i32, "req", mp.below(6)],
    x: Annotated[i32, "req", "k", mp.between(-9, 9)],
    table: Annotated[i32, "cell", mp.below(8)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    own = x[req, tok.offset]

    def pack(c):
        fits = c.used + own <= 10
        return dict(used=mp.where(fits, c.used + own, own), bins=c.bins + mp.where(fits, 0, 1))

    def chase(c):
        return dict(at=table[c.at], sum=i64(c.at) * 10**10 + c.sum)

    bins = mp.fold(tok, pack, used=mp.carry(0, -50, 50), bins=mp.carry(n, 0, 12))
    path = mp.fold(tok, chase, at=mp.carry(n, 0, 7), sum=mp.carry(i64(-n), -(2**40), 2**40))
    swap = mp.fold(
        tok, lambda c: dict(a=c.b, b=c.a + own), a=mp.carry(1, -99, 99), b=mp.carry(0, -99, 99)
    )
    return dict(
        used=mp.tail(bins.before.used, -1),
        used_after=bins.after.used,
        bins=bins.last.bins,
        bins_after=bins.after.bins * 100 + bins.before.bins,
        at=path.before.at,
        sums=path.last.sum,
        ends=mp.on(req, path.last.at, swap.last.a, n),
        swapped=swap.after.a + mp.cumsum(own, per=req),
        running=swap.before.b + mp.cumsum(tok.offset),
        starts=tok.indptr,
    )


def _table(rng, n):
    x, table = rng.integers(-9, 10, (n, 5)), rng.integers(0, 8, 8)
    return counts(rng, n, 6, x=x, table=table)


@sample(folds, _table, req=6, cell=8)
def _(given, to: Loops):
    n, x, table = (np.asarray(given[a]).tolist() for a in ("n", "x", "table"))
    out: dict[str, list[int]] = {name: [] for name in to.out}
    total = 0
    for k, row in zip(n, x, strict=True):
        used, bins, at, far, a, b = 0, k, k, -k, 1, 0
        for j in range(k):
            v = row[j]
            out["used"].append(used)
            before = bins
            used, bins = (used + v, bins) if used + v <= 10 else (v, bins + 1)
            out["used_after"].append(used)
            out["bins_after"].append(bins * 100 + before)
            out["at"].append(at)
            at, far = table[at], at * 10**10 + far
            total += j
            out["running"].append(b + total)
            a, b = b, a + v
            out["swapped"].append(a + sum(row[: j + 1]))
        out["bins"].append(bins)
        out["sums"].append(far)
        out["ends"] += [at, a, k]
    for name, values in out.items():
        to.put(name, values, -1 if name == "used" else None)
    to.put("starts", start(n), sum(n))


@mp.plan
def batch_folds(
    n: Annotated[i32, "req", mp.below(30)],
    room: Annotated[i32, mp.between(10, 40)],
):
    req = mp.axis("req")
    part = mp.dense(None, 5)
    few = mp.compact(req, where=n > 9)

    def assign(c):
        fits = c.left >= n
        return dict(left=mp.where(fits, c.left - n, room - n), part=c.part + mp.where(fits, 0, 1))

    parts = mp.fold(req, assign, left=mp.carry(room, -30, 40), part=mp.carry(0, 0, 40))
    steps = mp.fold(part, lambda c: dict(v=c.v * 3 % 7 + part.offset), v=mp.carry(room, 0, 40))
    return dict(
        parts=mp.tail(parts.after.part, -1),
        left=parts.before.left,
        count=parts.last.part + 1,
        rest=parts.last.left,
        kept=mp.on(few, parts.after.part, req.index),
        series=steps.after.v,
        last=steps.last.v,
        each=n * 100 + parts.last.part,
    )


def _rooms(rng, n):
    return {"n": rng.integers(0, 30, n), "room": int(rng.integers(10, 41)), "req": n}


@sample(batch_folds, _rooms, req=7)
def _(given, to: Loops):
    n, room = np.asarray(given["n"]).tolist(), int(given["room"])
    left, part = room, 0
    parts, lefts = [], []
    for k in n:
        lefts.append(left)
        left, part = (left - k, part) if left >= k else (room - k, part + 1)
        parts.append(part)
    to.put("parts", parts, -1)
    to.put("left", lefts)
    to.put("count", [part + 1])
    to.put("rest", [left])
    to.put("kept", [v for r, k in enumerate(n) if k > 9 for v in (parts[r], r)])
    v, series = room, []
    for j in range(5):
        v = v * 3 % 7 + j
        series.append(v)
    to.put("series", series)
    to.put("last", [v])
    to.put("each", [k * 100 + part for k in n])


@mp.plan
def packed(
    n: Annotated[i32, "req", mp.below(6)],
    x: Annotated[i32, "req", "k", mp.between(0, 9)],
    used: Annotated[i32, "req", mp.below(100), mp.STATE],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, tok.offset % 3)
    own = x[req, tok.offset]
    order = mp.argsort(own, over=tok)
    batch = mp.argsort(n, over=req, descending=True)

    def place(c):
        size = x[req, order]
        fits = c.left >= size
        return dict(left=mp.where(fits, c.left - size, 9), bin=c.bin + mp.where(fits, 0, 1))

    bins = mp.fold(tok, place, left=mp.carry(9, 0, 9), bin=mp.carry(0, 0, 9))
    inner = mp.fold(win, lambda c: dict(v=c.v * 2 + own), v=mp.carry(bins.before.bin, 0, 999))
    turns = mp.fold(req, lambda c: dict(v=c.v * 2 % 97 + n[batch]), v=mp.carry(1, 0, 999))
    state = mp.fold(
        tok, lambda c: dict(v=(c.v + own * (tok.offset + 1)) % 100), v=mp.carry(used, 0, 99)
    )
    return dict(
        bins=bins.after.bin,
        ordered=mp.sort(own, over=tok) * 100 + bins.before.left,
        deeper=mp.on(win, bins.after.bin * 10 + win.offset),
        inner=inner.last.v,
        inner_each=inner.after.v,
        turns=turns.after.v,
        history=state.before.v,
        used=mp.update(used[req], (state.last.v + turns.before.v) % 100),
    )


def _used(rng, n):
    x = rng.integers(0, 10, (n, 5))
    return counts(rng, n, 6, x=x, used=rng.integers(0, 100, n))


@sample(packed, _used, req=6)
def _(given, to: Loops):
    n, x, used = (np.asarray(given[a]).tolist() for a in ("n", "x", "used"))
    order = sorted(range(len(n)), key=lambda r: -n[r])
    out: dict[str, list[int]] = {name: [] for name in to.out}
    v = 1
    for r, k in enumerate(n):
        row, own = sorted(x[r][:k]), x[r]
        left, number, s = 9, 0, used[r]
        for j in range(k):
            out["ordered"].append(row[j] * 100 + left)
            inner = number
            left, number = (left - row[j], number) if left >= row[j] else (9, number + 1)
            out["bins"].append(number)
            out["deeper"] += [number * 10 + i for i in range(j % 3)]
            for _ in range(j % 3):
                inner = inner * 2 + own[j]
                out["inner_each"].append(inner)
            out["inner"].append(inner)
            out["history"].append(s)
            s = (s + own[j] * (j + 1)) % 100
        out["used"].append((s + v) % 100)
        v = v * 2 % 97 + n[order[r]]
        out["turns"].append(v)
    for name, values in out.items():
        to.put(name, values)


@mp.plan
def running_folds(n: Annotated[i32, "req", mp.below(6)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, tok.offset % 3)
    far = mp.fold(req, lambda c: dict(v=(c.v + tok.indptr) % 97), v=mp.carry(1, 0, 99))
    near = mp.fold(
        win, lambda c: dict(v=(c.v + mp.cumsum(win.offset + 1)) % 97), v=mp.carry(tok.offset, 0, 99)
    )
    both = mp.fold(tok, lambda c: dict(v=(c.v * 2 + near.last.v) % 97), v=mp.carry(0, 0, 99))
    rows = mp.fold(
        tok, lambda c: dict(v=(c.v + mp.cumsum(tok.offset, per=req) * 3) % 97), v=mp.carry(n, 0, 99)
    )
    swap = mp.fold(tok, lambda c: dict(a=c.b, b=c.a), a=mp.carry(n, 0, 9), b=mp.carry(7, 0, 9))
    return dict(
        swapped=swap.last.a * 10 + swap.last.b,
        far=far.last.v,
        near=near.last.v,
        both=both.after.v,
        rows=rows.last.v,
        ordered=mp.sort(both.before.v, over=tok),
        nears_ordered=mp.sort(near.last.v, over=tok, descending=True),
        nears_summed=mp.cumsum(near.last.v, per=req),
    )


@sample(running_folds, counts, req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    far, total = 1, 0
    nears, boths, rows = [], [], []
    ordered, nears_ordered, nears_summed = [], [], []
    for r, k in enumerate(n):
        far = (far + sum(n[:r])) % 97
        both, row, sums = 0, k, 0
        for j in range(k):
            near = j
            for i in range(j % 3):
                total += i + 1
                near = (near + total) % 97
            nears.append(near)
            both = (both * 2 + near) % 97
            boths.append(both)
            sums += j
            row = (row + sums * 3) % 97
        rows.append(row)
        first = len(nears) - k
        ordered += sorted([0, *boths[first:]][:k])
        nears_ordered += sorted(nears[first:], reverse=True)
        nears_summed += start(nears[first:])[1:]
    to.put("ordered", ordered)
    to.put("nears_ordered", nears_ordered)
    to.put("nears_summed", nears_summed)
    to.put("far", [far])
    to.put("swapped", [70 + k if k % 2 else 10 * k + 7 for k in n])
    to.put("near", nears)
    to.put("both", boths)
    to.put("rows", rows)


@mp.plan
def wide_folds(n: Annotated[i32, "req", mp.below(6)], p: Annotated[i64, mp.between(-5, 5)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)

    def step(c):
        return dict(a=mp.where(tok.offset > 1, i64(7), 9), b=c.a * p, c=5)

    start = mp.where(p > 0, i64(3), 4)
    fold = mp.fold(
        tok, step, a=mp.carry(start, -9, 99), b=mp.carry(p, -99, 99), c=mp.carry(p, -9, 9)
    )
    return dict(
        a=fold.before.a,
        b=fold.after.b,
        c=fold.last.c,
        root=mp.bisect(start, 100, lambda x: x * x >= p * 20),
        large=mp.cumsum(mp.where(tok.offset > n, i64(0), 2**31 - 1), per=req),
    )


def _scaled(rng, n):
    return counts(rng, n, 6, p=int(rng.integers(-5, 6)))


@sample(wide_folds, _scaled, req=6)
def _(given, to: Loops):
    n, p = given["n"].tolist(), int(given["p"])
    first = 3 if p > 0 else 4
    before, after, last = [], [], []
    for k in n:
        a, b, c = first, p, p
        for j in range(k):
            before.append(a)
            a, b, c = (7 if j > 1 else 9), a * p, 5
            after.append(b)
        last.append(c)
    to.put("a", before)
    to.put("b", after)
    to.put("c", last)
    to.put("root", [next(x for x in range(first, 101) if x * x >= p * 20 or x == 100)])
    to.put("large", [(j + 1) * (2**31 - 1) for k in n for j in range(k)])


@mp.plan
def broken_folds(n: Annotated[i32, "req", mp.below(6)], x: Annotated[i32, "req", "k"]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    own = mp.expect(x[req, tok.offset], -100, 100)
    sums = mp.fold(tok, lambda c: dict(s=c.s + own), s=mp.carry(0, -20, 20))
    past = mp.fold(tok, lambda c: dict(at=x[req, mp.expect(c.at, 0, 4)]), at=mp.carry(0, -1000, 5))
    return dict(sums=sums.after.s, past=past.last.at)


@sample(
    broken_folds,
    lambda rng, n: counts(rng, n, 6, x=rng.choice([-500, -15, -1, 0, 2, 7, 15, 500], (n, 5))),
    broken=True,
    req=6,
)
def _(given, to: Loops):
    """A carry that leaves its range is clamped."""
    n, x = np.asarray(given["n"]).tolist(), np.asarray(given["x"]).tolist()
    sums, ends = [], []
    for k, row in zip(n, x, strict=True):
        s, at = 0, 0
        for j in range(k):
            s = min(max(s + min(max(row[j], -100), 100), -20), 20)
            sums.append(s)
            at = min(max(row[min(max(at, 0), 4)], -1000), 5)
        ends.append(at)
    to.put("sums", sums)
    to.put("past", ends)
