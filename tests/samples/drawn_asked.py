"""What random plans came down to, where points ask other points, and where those are stored."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import boolean, i32, u16
from tests.samples.core import Loops, counts, sample


@mp.plan
def under_a_part(
    n: Annotated[i32, "req", mp.below(4)], x: Annotated[i32, "col", mp.between(-9, 5)]
):
    """Rows of one width under a part: stored one behind the other, not where the part is."""
    req = mp.axis("req")
    row = mp.pieces(req, head=n, rest=1)
    col = mp.dense(row.head, 2)
    along = mp.cumsum(x, per=row.head)
    slot = mp.minimum(mp.maximum(x, 0), 4)
    return dict(
        moved=mp.tail(x + 1, -1),
        index=col.index,
        total=mp.sum(mp.sum(col.index, over=col), over=row.head),
        asked=mp.sum(mp.where(col.index < mp.given(n), x, 0), over=col),
        running=mp.cumsum(x),
        there=mp.at(x, n),
        cuts=col.cuts,
        added=mp.put(req, slot, along, combine="add", init=0),
        offsets=mp.histogram(col.offset, req),
    )


def _under_a_part(rng, n):
    return counts(rng, n, 4, x=rng.integers(-9, 6, 40))


@sample(under_a_part, _under_a_part, req=5)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    live = 2 * sum(n)
    x = x[:live]
    to.put("moved", [v + 1 for v in x], -1)
    to.put("index", list(range(live)))
    ends = [2 * sum(n[: r + 1]) for r in range(len(n))]
    to.put("total", [sum(range(end - 2 * k, end)) for end, k in zip(ends, n, strict=True)])
    to.put("asked", [sum(x[:k]) for k in n])
    to.put("running", list(accumulate(x)))
    to.put("there", [x[k] if k < live else 0 for k in n])
    cuts = list(range(live + 1))
    to.put("cuts", cuts, live)
    to.put("offsets", [sum(n) if r < 2 else 0 for r in range(len(n))])
    to.out["added"][...] = 0
    for at, v in enumerate(x):
        to.out["added"][min(max(v, 0), 4)] += v if at % 2 == 0 else x[at - 1] + v


@mp.plan
def asked_of_few(
    n: Annotated[i32, "req", mp.below(6)],
    x: Annotated[i32, "tok", mp.below(3)],
    table: Annotated[i32, 6, mp.below(9)],
    top: Annotated[u16, mp.below(4)],
):
    """Points of narrow rows that are asked; reads that the asked points do not name, or only the asking ones."""
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    one = mp.dense(tok, 1)
    nothing = mp.ragged(req, 0)
    none = mp.dense(nothing, 1)
    room = mp.dense(None, 5)
    early = room.index < mp.given(n)
    chosen = mp.given(i32(top))
    return dict(
        buckets=mp.histogram(one.offset + x, req),
        none=mp.locate(none.index, n),
        below=mp.locate(x + one.offset, 1),
        own=mp.sum(mp.where(early, table[mp.given(n)], 0), over=room),
        same=mp.sum(mp.where(chosen < 2, table[2], 0), over=room),
        either=mp.sum(mp.where(early, table[2], 0), over=room),
        alone=mp.sum(table[chosen], over=room),
        always=mp.sum(mp.given(0) == 0, over=req),
    )


def _asked_of_few(rng, n):
    more = {"x": rng.integers(0, 3, 25), "table": rng.integers(0, 9, 6)}
    return counts(rng, n, 6, top=int(rng.integers(0, 4)), **more)


@sample(asked_of_few, _asked_of_few, req=5)
def _(given, to: Loops):
    n, table, top = given["n"].tolist(), np.asarray(given["table"]).tolist(), int(given["top"])
    x = np.asarray(given["x"]).tolist()[: sum(n)]
    to.put("buckets", [x.count(r) for r in range(len(n))])
    to.put("none", [0] * len(n))
    to.put("below", [sum(v <= 1 for v in x)])
    to.put("own", [min(k, 5) * table[k] for k in n])
    to.put("same", [5 * table[2] if top < 2 else 0])
    to.put("either", [min(k, 5) * table[2] for k in n])
    to.put("alone", [5 * table[top]])
    to.put("always", [len(n)])


@mp.plan
def kept_twice(
    n: Annotated[i32, "req", mp.below(4)],
    x: Annotated[i32, "req", mp.between(-9, 9)],
    k: Annotated[i32, "req", mp.below(3)],
):
    """A value that two axes keep, each for its own points; one that is made of itself."""
    req = mp.axis("req")
    row = mp.ragged(req, n)
    tok = mp.ragged(row, k)
    often = mp.minimum(mp.cumsum(n), 9)
    for _ in range(6):
        often = mp.minimum(mp.maximum(often, n), 9 - often)
    return dict(
        asked=mp.sum(mp.where(x + 0 * row.offset > mp.given(k), 1, 0), over=row),
        there=mp.at(x + 0 * tok.offset, 4),
        often=mp.on(row, often),
    )


@sample(
    kept_twice,
    lambda rng, n: counts(rng, n, 4, x=rng.integers(-9, 10, n), k=rng.integers(0, 3, n)),
    req=6,
)
def _(given, to: Loops):
    n, x, k = (np.asarray(given[name]).tolist() for name in ("n", "x", "k"))
    rows = [r for r, c in enumerate(n) for _ in range(c)]
    toks = [r for r in rows for _ in range(k[r])]
    to.put("asked", [sum(x[r] > limit for r in rows) for limit in k])
    to.put("there", [x[toks[4]] if len(toks) > 4 else 0])
    often = [min(so_far, 9) for so_far in accumulate(n)]
    for _ in range(6):
        often = [min(max(a, b), 9 - a) for a, b in zip(often, n, strict=True)]
    to.put("often", [often[r] for r in rows])


@mp.plan
def never_any(x: Annotated[i32, "tok", mp.below(2)]):
    """Rows that never have a point: what is kept for them is nothing."""
    req = mp.axis("req")
    tok = mp.ragged(req, 0)
    one = mp.dense(tok, 1)
    return dict(found=mp.locate(x + one.offset, 0))


@sample(never_any, lambda rng, n: {"x": np.zeros(1, np.int32), "req": n}, req=1)
def _(given, to: Loops):
    to.put("found", [0])


@mp.plan
def asked_by_all(
    n: Annotated[i32, "tok", mp.below(3)],
    key: Annotated[i32, "req", mp.below(4)],
    x: Annotated[i32, "tok", mp.between(-20, 20)],
    state: Annotated[i32, 2, mp.STATE, mp.between(-20, 20)],
):
    """What all points of a row ask with alike, and what they ask with when their rows have been sorted."""
    req = mp.axis("req")
    tok = mp.ragged(req, 2)
    row = mp.ragged(tok, n)
    found = mp.max(mp.where(row.index == mp.given(tok.indptr), 1, 0), over=row)
    return dict(
        changed=mp.update(state[found], x, combine="last"),
        sorted=mp.on(row, mp.locate(x, mp.sort(key, over=req))),
    )


def _asked_by_all(rng, n):
    more = {"x": rng.integers(-20, 21, 6), "state": rng.integers(-20, 21, 2)}
    return {"n": rng.integers(0, 3, 6), "key": rng.integers(0, 4, n), "req": n, **more}


@sample(asked_by_all, _asked_by_all, req=1)
def _(given, to: Loops):
    n, key, x = (np.asarray(given[name]).tolist() for name in ("n", "key", "x"))
    live = 2 * len(key)
    points = sum(n[:live])
    for t in range(live):
        to.out["state"][int(2 * (t // 2) < points)] = x[t]
    found = [sum(v <= k for v in x[:live]) for k in sorted(key)]
    to.put("sorted", [found[t // 2] for t in range(live) for _ in range(n[t])])


@mp.plan
def asked_on_one_side(
    n: Annotated[i32, "req", mp.below(4)],
    on: Annotated[boolean, "grp"],
    table: Annotated[i32, 20, mp.between(-9, 9)],
):
    """What is asked with is read by the point that asks, whatever the points say that are asked."""
    req, grp = mp.axis("req"), mp.axis("grp")
    tok = mp.ragged(req, n)
    read = mp.given(table[tok.indptr])
    return dict(out=mp.sum(mp.where(on, read, 0), over=grp))


def _asked_on_one_side(rng, n):
    more = {"on": rng.random(5) < 0.6, "grp": 5, "table": rng.integers(-9, 10, 20)}
    return counts(rng, n, 4, **more)


@sample(asked_on_one_side, _asked_on_one_side, req=5, grp=5)
def _(given, to: Loops):
    n, table = given["n"].tolist(), np.asarray(given["table"]).tolist()
    many = int(np.asarray(given["on"]).sum())
    to.put("out", [many * table[sum(n[:r])] for r in range(len(n))])
