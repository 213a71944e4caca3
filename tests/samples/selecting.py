"""Rows made of pieces, and the points where a condition holds."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def pieces(n: Annotated[i32, "req", mp.below(5)], m: Annotated[i32, "req", mp.below(4)]):
    req = mp.axis("req")
    row = mp.pieces(req, head=n, middle=m, last=n * 0 + 2)
    below = mp.ragged(row.middle, row.middle.offset + 1)
    return dict(
        indptr=row.indptr,
        every=mp.tail(mp.join(row, head=row.head.offset, middle=100 + row.middle.offset,
                              last=200 + row.last.offset), -1),
        some=mp.join(row, middle=n),
        whole=row.offset,
        heads=row.head.size,
        head_sum=mp.sum(row.head.offset, over=row.head),
        below=below.offset,
    )  # fmt: skip


@sample(pieces, lambda rng, n: counts(rng, n, m=rng.integers(0, 4, n)), req=5)
def _(given, to: Loops):
    n, m = given["n"].tolist(), np.asarray(given["m"]).tolist()
    lengths = [a + b + 2 for a, b in zip(n, m, strict=True)]
    begin = start(lengths)
    to.put("indptr", begin, begin[-1])
    every: list[int] = []
    for a, b in zip(n, m, strict=True):
        every += [*range(a), *range(100, 100 + b), 200, 201]
    to.put("every", every, -1)
    for r, (a, b) in enumerate(zip(n, m, strict=True)):
        to.put("some", [a] * b, start=begin[r] + a)
    to.put("whole", [i for k in lengths for i in range(k)])
    to.put("heads", [sum(n)])
    to.put("head_sum", [sum(range(a)) for a in n])
    to.put("below", [i for b in m for j in range(b) for i in range(j + 1)])


@mp.plan
def compact(n: Annotated[i32, "req", mp.below(5)], x: Annotated[i32, "req", mp.below(10)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    odd = mp.compact(tok, where=(x + tok.offset) % 2 == 1)
    few = mp.compact(req, where=n > 1)
    both = mp.compact(odd, where=x > 4)
    return dict(
        kept=mp.tail(mp.on(odd, tok.index, tok.row, x, tok.offset), -7),
        kept_count=odd.size,
        rows=mp.tail(mp.on(few, req.index), -1, until=4),
        row_count=few.size,
        ranks=odd.index,
        twice=mp.tail(mp.on(both, tok.index), -1),
        kept_sum=mp.sum(x, over=odd, to=req),
        kept_total=mp.sum(mp.sum(x, over=odd, to=req), over=req),
    )


@sample(compact, lambda rng, n: counts(rng, n, x=rng.integers(0, 10, n)), req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    odd = [(t, r, j) for t, (r, j) in enumerate(tok) if (x[r] + j) % 2 == 1]
    to.put("kept", [v for t, r, j in odd for v in (t, r, x[r], j)], -7)
    to.put("kept_count", [len(odd)])
    rows = [r for r, k in enumerate(n) if k > 1]
    to.put("rows", (rows + [-1] * 4)[: max(len(rows), 4)])
    to.put("row_count", [len(rows)])
    to.put("ranks", list(range(len(odd))))
    to.put("twice", [t for t, r, _ in odd if x[r] > 4], -1)
    to.put("kept_sum", [sum(x[r] for _, q, _ in odd if q == r) for r in range(len(n))])
    to.put("kept_total", [sum(x[r] for _, r, _ in odd)])


@mp.plan
def crowded(n: Annotated[i32, "req", mp.below(5)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    few = mp.compact(req, where=n > 0)
    return dict(tokens=mp.tail(tok.index + n, -1), indptr=tok.indptr, rows=mp.on(few, n))


@sample(crowded, counts, broken=True, req=6, tok=5, few=2)
def _(given, to: Loops):
    """More points than a capacity: those that have no room are left out."""
    n = given["n"].tolist()
    owner = [r for r, k in enumerate(n) for _ in range(k)]
    to.put("tokens", [t + n[r] for t, r in enumerate(owner)][:5], -1)
    to.put("indptr", start(n), sum(n))
    to.put("rows", [k for k in n if k][:2])


@mp.plan
def selected(n: Annotated[i32, "req", mp.below(5)], x: Annotated[i32, "req", mp.below(10)]):
    """Points chosen by what lies below them."""
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, (x + tok.offset) % 4)
    busy = mp.compact(req, where=mp.any((x + tok.offset) % 5 == 4, over=tok))
    heavy = mp.compact(tok, where=mp.sum(win.offset, over=win) > 2)
    return dict(
        busy=mp.tail(mp.on(busy, req.index, n), -1),
        heavy=mp.tail(mp.on(heavy, tok.index, tok.row), -1),
        heavy_count=heavy.size,
    )


@sample(selected, lambda rng, n: counts(rng, n, x=rng.integers(0, 10, n)), req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    tok = [(r, j) for r, k in enumerate(n) for j in range(k)]
    busy = [r for r, k in enumerate(n) if any((x[r] + j) % 5 == 4 for j in range(k))]
    to.put("busy", [v for r in busy for v in (r, n[r])], -1)
    heavy = [(t, r) for t, (r, j) in enumerate(tok) if sum(range((x[r] + j) % 4)) > 2]
    to.put("heavy", [v for pair in heavy for v in pair], -1)
    to.put("heavy_count", [len(heavy)])
