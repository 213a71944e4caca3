"""Values that go where an index says: alone, or combined with others that go to the same place."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start

FAR = 1 << 60


@mp.plan
def scattered(
    n: Annotated[i32, "req", mp.below(5)],
    slot: Annotated[i32, "req", mp.between(-1, 9), mp.DISTINCT],
    lane: Annotated[i32, mp.between(-2, 9)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    slots = mp.dense(None, 10)
    cell = mp.dense(slots, 4)
    room = mp.dense(None, 24)
    odd = mp.compact(tok, where=(n + tok.offset) % 2 == 1)
    real = slot >= 0
    return dict(
        owner=mp.put(slots, slot, req.index, where=real, init=-1),
        kept=mp.put(slots, slot, i64(n) - FAR, where=real & (n != 2)),
        table=mp.put(cell, (slot, tok.offset), tok.index, where=real, init=-7),
        some=mp.put(cell, (i64(slot), 3), tok.length, where=real),
        every=mp.put(room, tok.indptr + tok.offset, tok.row, init=room.index),
        moved=mp.put(room, mp.partition(tok.offset % 2 == 0), tok.index, init=-1),
        flat=mp.put(room, req.index % 6 * 4 + tok.offset, tok.index, combine="distinct"),
        backwards=mp.put(room, 23 - odd.index, tok.offset, init=-2),
        last_tokens=mp.put(room, tok.indptr + n - 1, req.index, where=n > 0, init=-1),
        one=mp.put(slots, lane, mp.sum(n, over=req), where=lane >= 0, init=-1),
        always=mp.put(slots, 3, lane),
    )


def _slots(rng, n, **more):
    slot = rng.permutation(10)[:n]
    slot[rng.random(n) < 0.3] = -1
    return counts(rng, n, slot=slot, lane=rng.integers(-2, 10, 1), **more)


@sample(scattered, _slots, req=6)
def _(given, to: Loops):
    n, slot, lane = given["n"].tolist(), given["slot"].tolist(), int(given["lane"][0])
    begin = start(n)
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    for name, init in (("owner", -1), ("table", -7), ("moved", -1), ("backwards", -2), ("last_tokens", -1), ("one", -1)):  # fmt: skip
        to.out[name][...] = init
    to.out["every"][...] = range(24)
    for r, (k, s) in enumerate(zip(n, slot, strict=True)):
        if s >= 0:
            to.out["owner"][s] = r
            to.out["some"][s, 3] = k
            if k != 2:
                to.out["kept"][s] = k - FAR
        if k > 0:
            to.out["last_tokens"][begin[r] + k - 1] = r
    ahead = [t for t, (_, j) in enumerate(tok) if j % 2 == 0]
    ahead += [t for t, (_, j) in enumerate(tok) if j % 2 == 1]
    to.put("moved", ahead)
    kept = 23
    for t, (r, j) in enumerate(tok):
        if slot[r] >= 0:
            to.out["table"][slot[r], j] = t
        to.out["every"][t] = r
        to.out["flat"][4 * r + j] = t
        if (n[r] + j) % 2 == 1:
            to.out["backwards"][kept] = j
            kept -= 1
    if lane >= 0:
        to.out["one"][lane] = sum(n)
    to.out["always"][3] = lane


@mp.plan
def astray(
    n: Annotated[i32, "req", mp.below(5)],
    far: Annotated[i64, "req", mp.between(-(1 << 50), 1 << 50), mp.DISTINCT],
    place: Annotated[i32, "req", mp.between(-9, 9)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    lane = mp.dense(req, 40)
    slots = mp.dense(None, 10)
    cell = mp.dense(slots, 4)
    return dict(
        row=mp.put(cell, (far, place), n, init=0),
        flat=mp.put(slots, far, tok.length, init=-1),
        token=mp.put(cell, (far, tok.offset + place), tok.offset),
        top=mp.put(slots, far, lane.offset, combine="max", init=-1),
    )


def _astray(rng, n):
    far = rng.permutation(14)[:n] - 2
    far = np.where(rng.random(n) < 0.3, far * (1 << 40), far)
    return counts(rng, n, far=far, place=rng.integers(-2, 6, n))


@sample(astray, _astray, broken=True, req=6)
def _(given, to: Loops):
    """Places that are not there: nothing is stored, and it is counted."""
    to.out["row"][...] = 0
    to.out["flat"][...] = to.out["top"][...] = -1
    rows = zip(given["n"].tolist(), given["far"].tolist(), given["place"].tolist(), strict=True)
    for k, far, place in rows:
        if not 0 <= far < 10:
            continue
        to.out["flat"][far] = k
        if 0 <= place < 4:
            to.out["row"][far, place] = k
        to.out["top"][far] = 39
        for j in range(k):
            if 0 <= j + place < 4:
                to.out["token"][far, j + place] = j


@mp.plan
def shared(
    n: Annotated[i32, "req", mp.below(5)],
    key: Annotated[i32, "req", mp.between(-3, 12)],
    x: Annotated[i64, "req", mp.between(-FAR, FAR)],
    small: Annotated[i32, "req", mp.between(-(1 << 20), 1 << 20)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    bucket = mp.dense(None, 8)
    place = mp.dense(bucket, 4)
    lane = mp.dense(req, 40)
    few = mp.dense(req, 3)
    inside = (key >= 0) & (key < 8)
    return dict(
        requests=mp.put(bucket, key, 1, where=inside, combine="add", init=0),
        total=mp.put(bucket, key, tok.offset + small, where=inside, combine="add", init=req.size),
        wide=mp.put(bucket, key, x, where=inside, combine="add"),
        most=mp.put(place, (key, tok.offset), x, where=inside, combine="max", init=-FAR),
        least=mp.put(bucket, key, small - tok.offset, where=inside, combine="min", init=1 << 30),
        seen=mp.put(bucket, key, 1 << tok.offset, where=inside, combine="or", init=0),
        mask=mp.put(bucket, key, x, where=inside, combine="or"),
        one=mp.put(bucket, 5, small, combine="add", init=0),
        lanes=mp.put(bucket, key, lane.offset + 1, where=inside, combine="add", init=0),
        widest=mp.put(bucket, 2, x - i64(lane.offset), combine="max", init=-FAR - 99),
        thirds=mp.put(bucket, 7, few.offset * small, combine="min", init=0),
        last=mp.put(bucket, key, tok.index, where=inside, combine="last", init=-1),
        last_row=mp.put(place, (key, n // 2), req.index, where=inside, combine="last"),
    )


def _keys(rng, n):
    x = rng.integers(-FAR, FAR, n)
    return counts(
        rng, n, key=rng.integers(-3, 13, n), x=x, small=rng.integers(-(1 << 20), 1 << 20, n)
    )


@sample(shared, _keys, req=7)
def _(given, to: Loops):
    n, key = given["n"].tolist(), given["key"].tolist()
    x, small = given["x"].tolist(), given["small"].tolist()
    begin, out = start(n), to.out
    for name, init in (("requests", 0), ("total", len(n)), ("most", -FAR), ("least", 1 << 30),
                       ("seen", 0), ("lanes", 0), ("widest", -FAR - 99), ("thirds", 0), ("one", 0), ("last", -1)):  # fmt: skip
        out[name][...] = init
    for r, k in enumerate(n):
        out["one"][5] += small[r]
        out["widest"][2] = max(out["widest"][2], x[r])
        out["thirds"][7] = min(out["thirds"][7], 2 * small[r], 0)
        if not 0 <= key[r] < 8:
            continue
        out["requests"][key[r]] += 1
        out["lanes"][key[r]] += sum(range(41))
        out["wide"][key[r]] += x[r]
        out["mask"][key[r]] |= x[r]
        out["last_row"][key[r], k // 2] = r
        for j in range(k):
            out["total"][key[r]] += j + small[r]
            out["most"][key[r], j] = max(out["most"][key[r], j], x[r])
            out["least"][key[r]] = min(out["least"][key[r]], small[r] - j)
            out["seen"][key[r]] |= 1 << j
            out["last"][key[r]] = begin[r] + j


@mp.plan
def accounts(
    n: Annotated[i32, "req", mp.below(5)],
    at: Annotated[i32, "req", mp.between(-1, 4)],
    used: Annotated[i64, "account", mp.STATE],
    peak: Annotated[i32, "account", 4, mp.STATE],
    low: Annotated[i64, "account", mp.STATE],
    marks: Annotated[i32, "account", mp.STATE],
    owner: Annotated[i32, "account", mp.STATE],
    steps: Annotated[i32, mp.STATE],
    note: Annotated[i32, "req", mp.between(-9, 9), mp.STATE],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    real = at >= 0
    return dict(
        used=mp.update(used[at], i64(n) * (FAR // 8), where=real, combine="add"),
        peak=mp.update(peak[at, tok.offset], tok.index, where=real, combine="max"),
        low=mp.update(low[at], -i64(tok.index), where=real, combine="min"),
        marks=mp.update(marks[at], 1 << n, where=real, combine="or"),
        owner=mp.update(owner[at], req.index, where=real, combine="last"),
        steps=mp.update(steps, n, combine="add"),
        note=mp.update(note, note + n),
    )


def _accounts(rng, n):
    return counts(
        rng,
        n,
        at=rng.integers(-1, 5, n),
        used=rng.integers(-FAR, FAR, 5),
        peak=rng.integers(-9, 9, (5, 4)),
        low=rng.integers(-9, 9, 5),
        marks=rng.integers(0, 99, 5),
        owner=rng.integers(-9, 9, 5),
        steps=rng.integers(0, 9, 1),
        note=rng.integers(-9, 10, 7),
    )


@sample(accounts, _accounts, req=7, account=5)
def _(given, to: Loops):
    """States that several requests change at once, beside one that each changes alone."""
    n, at, out = given["n"].tolist(), given["at"].tolist(), to.out
    begin = start(n)
    for r, (k, a) in enumerate(zip(n, at, strict=True)):
        out["steps"][0] += k
        out["note"][r] += k
        if a < 0:
            continue
        out["used"][a] += k * (FAR // 8)
        out["marks"][a] |= 1 << k
        out["owner"][a] = r
        for j in range(k):
            out["peak"][a, j] = max(out["peak"][a, j], begin[r] + j)
            out["low"][a] = min(out["low"][a], -(begin[r] + j))


@mp.plan
def ranked(n: Annotated[i32, "req", mp.below(5)], key: Annotated[i32, "req", mp.below(9)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    grid = mp.dense(req, 4)
    odd = (tok.offset + key) % 2 == 1
    return dict(
        odd_first=mp.put(grid, (req.index, mp.partition(odd, per=req)), tok.offset, init=-1),
        packed=mp.put(tok, tok.indptr + mp.partition(odd, per=req), tok.index, combine="distinct"),
    )


@sample(ranked, lambda rng, n: counts(rng, n, key=rng.integers(0, 9, n)), req=6)
def _(given, to: Loops):
    """Those that are odd come first in their row, and all keep their order."""
    n, key = given["n"].tolist(), given["key"].tolist()
    begin = start(n)
    to.out["odd_first"][...] = -1
    for r, k in enumerate(n):
        order = sorted(range(k), key=lambda j: ((j + key[r]) % 2 == 0, j))
        to.out["odd_first"][r, :k] = order
        to.put("packed", [begin[r] + j for j in order], start=begin[r])
