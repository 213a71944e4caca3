"""Running sums and reductions, to the parent, further up, and to one number."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def sums(n: Annotated[i32, "req", mp.below(5)], x: Annotated[i32, "req", mp.between(-9, 9)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    return dict(
        running=mp.tail(mp.cumsum(x), mp.LAST),
        before=mp.indptr(x),
        running_tok=mp.cumsum(tok.offset - x),
        before_tok=mp.tail(mp.indptr(tok.offset + 1), mp.UNDEFINED),
        cuts=tok.cuts,
        wide=mp.cumsum(i64(x) * 1000000000000),
        start_of_row=tok.indptr + 0 * tok.offset,
    )


def _signed(rng, n):
    return counts(rng, n, x=rng.integers(-9, 10, n))


@sample(sums, _signed, req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    to.put("running", start(x)[1:], sum(x))
    to.put("before", start(x), sum(x))
    flat = [j - x[r] for r, k in enumerate(n) for j in range(k)]
    to.put("running_tok", start(flat)[1:])
    ends = start([j + 1 for k in n for j in range(k)])
    to.put("before_tok", ends)
    to.put("cuts", list(range(sum(n) + 1)), sum(n))
    to.put("wide", [v * 10**12 for v in start(x)[1:]])
    to.put("start_of_row", [start(n)[r] for r, k in enumerate(n) for _ in range(k)])


@mp.plan
def reductions(n: Annotated[i32, "req", mp.below(5)], x: Annotated[i32, "req", mp.between(-9, 9)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    value = x * (tok.offset - 1)
    return dict(
        sums=mp.sum(value, over=tok),
        most=mp.max(value, over=tok),
        least=mp.min(value, over=tok),
        some=mp.any(value > 3, over=tok),
        every=mp.all(value > -3, over=tok),
        total=mp.sum(x, over=req),
        largest=mp.max(x, over=req),
        smallest=mp.min(x, over=req),
        any_negative=mp.any(x < 0, over=req),
        all_small=mp.all(x < 5, over=req),
        all_tokens=mp.sum(mp.sum(value, over=tok), over=req),
        counted=mp.sum(value > 0, over=tok),
        scaled=x * mp.sum(x, over=req),
    )


@sample(reductions, _signed, req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), np.asarray(given["x"]).tolist()
    low, high = -(2**31), 2**31 - 1
    rows = [[x[r] * (j - 1) for j in range(k)] for r, k in enumerate(n)]
    to.put("sums", [sum(row) for row in rows])
    to.put("most", [max(row, default=low) for row in rows])
    to.put("least", [min(row, default=high) for row in rows])
    to.put("some", [any(v > 3 for v in row) for row in rows])
    to.put("every", [all(v > -3 for v in row) for row in rows])
    to.put("total", [sum(x)])
    to.put("largest", [max(x, default=low)])
    to.put("smallest", [min(x, default=high)])
    to.put("any_negative", [any(v < 0 for v in x)])
    to.put("all_small", [all(v < 5 for v in x)])
    to.put("all_tokens", [sum(sum(row) for row in rows)])
    to.put("counted", [sum(v > 0 for v in row) for row in rows])
    to.put("scaled", [v * sum(x) for v in x])
