"""Axes below axes: three deep, ragged and dense, and what lifts to them."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def nested(n: Annotated[i32, "req", mp.below(5)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, tok.offset % 3)
    leaf = mp.ragged(win, win.offset + 1)
    return dict(
        tok_indptr=tok.indptr,
        win_indptr=mp.tail(win.indptr, mp.LAST, until=20),
        leaf_indptr=leaf.indptr,
        lifted=mp.tail(n * 1000 + tok.offset * 100 + win.offset * 10 + leaf.offset, -1),
        where=mp.on(leaf, req.index, tok.index, win.index, leaf.index),
        row=mp.on(leaf, leaf.row),
    )


@sample(nested, counts, req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    win = [(t, i) for t, (_, j) in enumerate(tok) for i in range(j % 3)]
    leaf = [(w, i) for w, (_, j) in enumerate(win) for i in range(j + 1)]
    to.put("tok_indptr", start(n), sum(n))
    ends = start([j % 3 for _, j in tok])
    to.put("win_indptr", ends + [len(win)] * (21 - len(ends)))
    to.put("leaf_indptr", start([j + 1 for _, j in win]), len(leaf))
    lifted, where = [], []
    for at, (w, i) in enumerate(leaf):
        t, k = win[w]
        r, j = tok[t]
        lifted.append(n[r] * 1000 + j * 100 + k * 10 + i)
        where += [r, t, w, at]
    to.put("lifted", lifted, -1)
    to.put("where", where)
    to.put("row", [w for w, _ in leaf])


@mp.plan
def dense(n: Annotated[i32, "req", mp.below(5)], graph: Annotated[i32, mp.between(0, 40)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    lane = mp.dense(tok, 3)
    pair = mp.dense(req, 2)
    deep = mp.ragged(pair, n * pair.offset)
    alone = mp.dense(None, 4)
    return dict(
        lanes=mp.tail(tok.index * 10 + lane.offset, -1, until=graph),
        places=lane.index,
        pairs=n * 2 + pair.offset,
        deep_indptr=deep.indptr,
        deep=mp.tail(pair.offset * 100 + deep.offset, 0),
        squares=alone.offset * alone.offset,
    )


@sample(dense, lambda rng, n: counts(rng, n, graph=int(rng.integers(0, 41))), req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    live = sum(n)
    lanes = [t * 10 + i for t in range(live) for i in range(3)]
    more = max(given["graph"] - live, 0)
    to.put("lanes", (lanes + [-1] * (3 * more))[: to.out["lanes"].size])
    to.put("places", list(range(3 * live)))
    to.put("pairs", [k * 2 + i for k in n for i in range(2)])
    lengths = [k * i for k in n for i in range(2)]
    to.put("deep_indptr", start(lengths), sum(lengths))
    to.put("deep", [p % 2 * 100 + i for p, k in enumerate(lengths) for i in range(k)], 0)
    to.put("squares", [0, 1, 4, 9])


@mp.plan
def chunks(
    n: Annotated[i32, "req", mp.between(0, 60)], x: Annotated[i32, "req", mp.between(-9, 9)]
):
    """Rows far longer than most are: their points are enumerated packed."""
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    lane = mp.dense(tok, 33)
    few = mp.dense(tok, 3)
    other = mp.ragged(req, mp.maximum(x, 0))
    return dict(
        behind=mp.tail(other.indptr * 100 + other.length * 10 + lane.offset % 7, -2),
        wide=mp.tail(tok.offset * 100 + lane.offset + x, -1),
        narrow=mp.tail(few.index * 2 + x + few.offset, -5),
        kept=mp.keep(mp.on(lane, x), where=lane.offset < tok.offset % 33),
        summed=mp.tail(mp.on(tok, mp.sum(lane.offset * (tok.offset % 3), over=lane)), 0),
    )


def _chunks(rng, n):
    lengths = rng.choice([0, 0, 1, 3, 9], n)
    if n:
        lengths[rng.integers(n)] = rng.integers(30, 61)
    return counts(rng, n) | {"n": lengths.astype(np.int32), "x": rng.integers(-9, 10, n)}


@sample(chunks, _chunks, req=5, tok=120)
def _(given, to: Loops):
    n, x = given["n"].tolist(), given["x"].tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    to.put("wide", [j * 100 + lane + x[r] for r, j in tok for lane in range(33)], -1)
    begin = start([max(k, 0) for k in x])
    behind = [begin[r] * 100 + max(x[r], 0) * 10 for r, _ in tok]
    to.put("behind", [base + lane % 7 for base in behind for lane in range(33)], -2)
    few = [(r, f) for r, _ in tok for f in range(3)]
    to.put("narrow", [at * 2 + x[r] + f for at, (r, f) in enumerate(few)], -5)
    kept = to.out["kept"].reshape(-1, 33)
    for t, (r, j) in enumerate(tok):
        kept[t, : j % 33] = x[r]
    to.put("summed", [sum(range(33)) * (j % 3) for _, j in tok], 0)
