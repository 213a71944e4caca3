"""Along a row: sums that restart at each, numbers in order, the places that they come from, partitions."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start

LOW, HIGH = -(2**31), 2**31 - 1


@mp.plan
def row_sums(
    n: Annotated[i32, "req", mp.below(6)],
    x: Annotated[i32, "req", "k", mp.between(-(10**8), 10**8)],
    wide: Annotated[i64, "req", "k"],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, tok.offset % 3)
    pair = mp.dense(req, 3)
    odd = mp.compact(tok, where=x[req, tok.offset] % 2 == 1)
    return dict(
        running=mp.tail(mp.cumsum(x[req, tok.offset], per=req), -1),
        running_wide=mp.cumsum(wide[req, tok.offset], per=req),
        of_pairs=mp.cumsum(n + pair.offset, per=req),
        of_windows=mp.cumsum(tok.offset + win.offset, per=tok),
        same=mp.cumsum(n + 0 * tok.offset, per=req),
        of_counts=mp.cumsum(tok.offset % 2 == 1, per=req),
        on_odd=mp.on(odd, mp.cumsum(x[req, tok.offset], per=req)),
        deeper=mp.on(win, mp.cumsum(tok.offset + 1, per=req) * 10 + win.offset),
    )


def _table(rng, n):
    x = rng.integers(-(10**8), 10**8 + 1, (n, 5))
    return counts(rng, n, 6, x=x, wide=rng.integers(-(2**60), 2**60, (n, 5)))


@sample(row_sums, _table, req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    x, wide = np.asarray(given["x"]).tolist(), np.asarray(given["wide"]).tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    running = [sum(x[r][: j + 1]) for r, j in tok]
    to.put("running", running, -1)
    to.put("running_wide", [sum(wide[r][: j + 1]) for r, j in tok])
    to.put("of_pairs", [sum(k + p for p in range(j + 1)) for k in n for j in range(3)])
    win = [(r, j, i) for r, j in tok for i in range(j % 3)]
    to.put("of_windows", [sum(j + p for p in range(i + 1)) for _, j, i in win])
    to.put("same", [n[r] * (j + 1) for r, j in tok])
    to.put("of_counts", [(j + 1) // 2 for _, j in tok])
    to.put("on_odd", [v for v, (r, j) in zip(running, tok, strict=True) if x[r][j] % 2])
    to.put("deeper", [(j + 1) * (j + 2) // 2 * 10 + i for _, j, i in win])


@mp.plan
def sorts(
    n: Annotated[i32, "req", mp.below(6)],
    x: Annotated[i32, "req", "k"],
    wide: Annotated[i64, "req", "k"],
    key: Annotated[i32, "req", "k", mp.between(-3, 3)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    col = mp.dense(req, 5)
    own, many = x[req, tok.offset], wide[req, tok.offset]
    rank = mp.argsort(key[req, tok.offset], over=tok)
    return dict(
        up=mp.tail(mp.sort(own, over=tok), -1),
        down=mp.sort(own, over=tok, descending=True),
        up_wide=mp.sort(many, over=tok),
        down_wide=mp.sort(many, over=tok, descending=True),
        ranks=rank,
        ranks_down=mp.argsort(key[req, tok.offset], over=tok, descending=True),
        first=x[req, rank],
        table=mp.sort(x[req, col.offset], over=col),
        batch=mp.tail(mp.sort(n * 7 % 5 - 2, over=req), 0),
        batch_ranks=mp.argsort(n, over=req, descending=True),
        gaps=mp.cumsum(key[req, mp.minimum(mp.sort(tok.offset * 3 % 5, over=tok), 4)], per=req),
    )


def _extremes(rng, n):
    x = rng.choice([LOW, LOW + 1, -1, 0, 1, HIGH], (n, 5))
    wide = rng.choice([-(2**63), -(2**62), -1, 2**40, 2**63 - 1], (n, 5))
    return counts(rng, n, 6, x=x, wide=wide, key=rng.integers(-3, 4, (n, 5)))


@sample(sorts, _extremes, req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    x, wide, key = (np.asarray(given[a]).tolist() for a in ("x", "wide", "key"))
    rows = [row[:k] for row, k in zip(x, n, strict=True)]
    wides = [row[:k] for row, k in zip(wide, n, strict=True)]
    keys = [row[:k] for row, k in zip(key, n, strict=True)]
    to.put("up", [v for row in rows for v in sorted(row)], -1)
    to.put("down", [v for row in rows for v in sorted(row, reverse=True)])
    to.put("up_wide", [v for row in wides for v in sorted(row)])
    to.put("down_wide", [v for row in wides for v in sorted(row, reverse=True)])
    ranks = [sorted(range(len(row)), key=row.__getitem__) for row in keys]
    to.put("ranks", [j for row in ranks for j in row])
    down = [sorted(range(len(row)), key=lambda j, row=row: -row[j]) for row in keys]
    to.put("ranks_down", [j for row in down for j in row])
    to.put("first", [x[r][j] for r, row in enumerate(ranks) for j in row])
    to.put("table", [v for row in x for v in sorted(row)])
    to.put("batch", sorted(k * 7 % 5 - 2 for k in n), 0)
    to.put("batch_ranks", sorted(range(len(n)), key=lambda r: -n[r]))
    gaps: list[int] = []
    for row, k in zip(key, n, strict=True):
        gaps += start([row[p] for p in sorted(j * 3 % 5 for j in range(k))])[1:]
    to.put("gaps", gaps)


@mp.plan
def lifted(n: Annotated[i32, "req", mp.below(6)], x: Annotated[i32, "req", "k", mp.between(-9, 9)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, tok.offset % 3)
    own = x[req, tok.offset]
    total, most = mp.sum(own, over=tok), mp.max(own + win.offset, over=win)
    return dict(
        share=own * 100 + total,
        leaf=mp.on(win, total * 10 + win.offset + mp.sum(win.offset, over=win)),
        before=mp.cumsum(own, per=req) + mp.maximum(most, -100),
        ordered=mp.sort(own + mp.maximum(most, -100), over=tok),
    )


@sample(lifted, lambda rng, n: counts(rng, n, 6, x=rng.integers(-9, 10, (n, 5))), req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    total = [sum(row[:k]) for row, k in zip(x, n, strict=True)]
    most = {(r, j): max((x[r][j] + i for i in range(j % 3)), default=-100) for r, j in tok}
    to.put("share", [x[r][j] * 100 + total[r] for r, j in tok])
    win = [(r, j, i) for r, j in tok for i in range(j % 3)]
    to.put("leaf", [total[r] * 10 + i + sum(range(j % 3)) for r, j, i in win])
    to.put("before", [sum(x[r][: j + 1]) + most[r, j] for r, j in tok])
    to.put(
        "ordered",
        [v for r, k in enumerate(n) for v in sorted(x[r][j] + most[r, j] for j in range(k))],
    )


@mp.plan
def in_parts(
    n: Annotated[i32, "req", mp.below(6)], x: Annotated[i32, "req", "k", mp.between(-9, 9)]
):
    req = mp.axis("req")
    row = mp.pieces(req, head=mp.minimum(n, 2), rest=n)
    leaf = mp.ragged(row.rest, row.rest.offset)
    one = mp.dense(req, 1)
    own = x[req, row.rest.offset]
    seen = mp.fold(row.rest, lambda c: dict(v=c.v * 2 % 17 + own), v=mp.carry(n, -99, 99))
    idle = mp.fold(row.head, lambda c: dict(v=c.v), v=mp.carry(n, 0, 9))
    return dict(
        sums=mp.join(row, rest=mp.cumsum(own, per=req)),
        all_sums=mp.join(row, head=mp.cumsum(row.head.offset + 1), rest=mp.cumsum(own)),
        folded=mp.join(row, rest=seen.after.v),
        below=mp.join(row, rest=mp.sum(leaf.offset, over=leaf)),
        last=seen.last.v + idle.last.v,
        single=mp.sort(n + one.offset, over=one) + mp.cumsum(one.offset, per=req),
    )


@sample(in_parts, lambda rng, n: counts(rng, n, 6, x=rng.integers(-9, 10, (n, 5))), req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    begin, head, total = 0, 0, 0
    last = []
    for k, row in zip(n, x, strict=True):
        first, v = min(k, 2), k
        heads, sums, alls, folded = [], [], [], []
        for j in range(first):
            head += j + 1
            heads.append(head)
        for j in range(k):
            total += row[j]
            sums.append(sum(row[: j + 1]))
            alls.append(total)
            v = v * 2 % 17 + row[j]
            folded.append(v)
        to.put("all_sums", heads, start=begin)
        begin += first
        to.put("sums", sums, start=begin)
        to.put("all_sums", alls, start=begin)
        to.put("folded", folded, start=begin)
        to.put("below", [sum(range(j)) for j in range(k)], start=begin)
        begin += k
        last.append(v + k)
    to.put("last", last)
    to.put("single", n)


@mp.plan
def partitions(n: Annotated[i32, "req", mp.below(6)], x: Annotated[i32, "req", mp.below(10)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    first = (x + tok.offset) % 3 == 1
    return dict(
        in_rows=mp.partition(first, per=req),
        in_all=mp.partition(first),
        requests=mp.partition(n > 2),
    )


@sample(partitions, lambda rng, n: counts(rng, n, 6, x=rng.integers(0, 10, n)), req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    rows = [[(x[r] + j) % 3 == 1 for j in range(k)] for r, k in enumerate(n)]
    to.put("in_rows", [p for row in rows for p in _moved(row)])
    to.put("in_all", _moved([f for row in rows for f in row]))
    to.put("requests", _moved([k > 2 for k in n]))


def _moved(first: list[bool]) -> list[int]:
    order = sorted(range(len(first)), key=lambda j: not first[j])
    return [order.index(j) for j in range(len(first))]
