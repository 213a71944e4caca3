"""Reads that a condition guards, and changes in place."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample


@mp.plan
def gathers(
    n: Annotated[i32, "req", mp.below(5)],
    at: Annotated[i64, "req", mp.between(-1, 30)],
    table: Annotated[i32, "state", 4, mp.between(-50, 50)],
    far: Annotated[i32, "req", mp.between(-100, 100)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n, most=3)
    real = at >= 0
    return dict(
        guarded=mp.where(real, table[at, tok.offset], 7),
        nested=mp.where(real & (far > 0), table[at, mp.expect(far, 0, 3)], -1),
        again=mp.where(real, mp.where(table[at, n % 4] > 3, table[at, n % 4] + far, -1), 7),
        chosen=mp.where(table[mp.maximum(at, 0), 1] > 0, table[mp.maximum(at, 0), 2], far),
        promised=mp.expect(far, -5, 5),
        kept=mp.keep(far, where=real),
        lengths=tok.length,
    )


def _addresses(rng, n):
    table = rng.integers(-50, 51, (8, 4)).astype(np.int32)
    at, far = rng.integers(-1, 11, n), rng.integers(-10, 11, n)
    return counts(rng, n, at=at, table=table, far=far)


@sample(gathers, _addresses, broken=True, req=6, state=8)
def _(given, to: Loops):
    """``at`` may lie beyond the table: 0 is read there; ``n`` beyond 3 and ``far`` are clamped."""
    n = np.minimum(given["n"], 3).tolist()
    at, far, table = given["at"].tolist(), given["far"].tolist(), given["table"]

    def read(i: int, j: int) -> int:
        return int(table[i, j]) if 0 <= i < 8 else 0

    to.put("guarded", [read(a, j) if a >= 0 else 7 for a, k in zip(at, n, strict=True)
                       for j in range(k)])  # fmt: skip
    nested, chosen = [], []
    for a, f in zip(at, far, strict=True):
        nested.append(read(a, min(max(f, 0), 3)) if a >= 0 and f > 0 else -1)
        chosen.append(read(max(a, 0), 2) if read(max(a, 0), 1) > 0 else f)
    to.put("nested", nested)
    own = [read(a, k % 4) for a, k in zip(at, np.asarray(given["n"]).tolist(), strict=True)]
    some = [x + f if x > 3 else -1 for x, f in zip(own, far, strict=True)]
    to.put("again", [s if a >= 0 else 7 for a, s in zip(at, some, strict=True)])
    to.put("chosen", chosen)
    to.put("promised", [min(max(f, -5), 5) for f in far])
    for r, (a, f) in enumerate(zip(at, far, strict=True)):
        if a >= 0:
            to.put("kept", [f], start=r)
    to.put("lengths", n)


@mp.plan
def updates(
    n: Annotated[i32, "req", mp.below(5)],
    at: Annotated[i64, "req", mp.between(-1, 7), mp.DISTINCT],
    count: Annotated[i32, "state", mp.between(0, 1000), mp.STATE],
    log: Annotated[i64, "state", 8, mp.STATE],
):
    req = mp.axis("req")
    real = at >= 0
    tok = mp.ragged(req, n)
    old = count[at]
    return dict(
        counted=mp.update(old, old + n, where=real & (n > 0)),
        logged=mp.update(log[at, tok.offset], i64(old) * 10 + i64(tok.offset), where=real),
        seen=mp.tail(mp.where(real, old, -1), 0),
    )


def _states(rng, n):
    at = rng.permutation(8)[:n]
    at[rng.random(n) < 0.3] = -1
    return counts(rng, n, at=at, count=rng.integers(0, 100, 8), log=rng.integers(0, 100, (8, 8)))


@sample(updates, _states, req=6, state=8)
def _(given, to: Loops):
    n, at, old = given["n"].tolist(), given["at"].tolist(), given["count"].tolist()
    count, log = to.out["count"], to.out["log"]
    for k, a in zip(n, at, strict=True):
        if a < 0:
            continue
        if k > 0:
            count[a] = old[a] + k
        for j in range(k):
            log[a, j] = old[a] * 10 + j
    to.put("seen", [old[a] if a >= 0 else -1 for a in at], 0)


@mp.plan
def counters(
    n: Annotated[i32, "req", mp.below(5)],
    slot: Annotated[i32, "req", mp.between(-100, 100), mp.STATE],
    steps: Annotated[i64, mp.between(0, 1 << 40), mp.STATE],
    tokens: Annotated[i64, mp.between(0, 1 << 40), mp.STATE],
    recent: Annotated[i32, 8, mp.between(-100, 100), mp.STATE],
):
    req = mp.axis("req")
    ring = mp.dense(None, 8)
    busy = mp.compact(req, where=n > 0)
    total = mp.sum(n, over=req)
    return dict(
        stepped=mp.update(steps, steps + 1),
        counted=mp.update(tokens, tokens + i64(total), where=steps > 2),
        filled=mp.update(slot, slot + n),
        shifted=mp.update(recent[ring.offset], recent[ring.offset] // 2 + total),
        active=busy.size,
        raised=mp.tail(n + 1, 0),
    )


def _counts_so_far(rng, n):
    return counts(
        rng,
        n,
        slot=rng.integers(-9, 9, 6),
        steps=rng.integers(0, 6, 1),
        tokens=rng.integers(0, 100, 1),
        recent=rng.integers(-9, 9, 8),
    )


@sample(counters, _counts_so_far, req=6)
def _(given, to: Loops):
    """Changes of the batch, of its rows and of a table beside them, in one plan."""
    n, steps = given["n"].tolist(), int(given["steps"][0])
    to.out["steps"][0] = steps + 1
    if steps > 2:
        to.out["tokens"][0] = int(given["tokens"][0]) + sum(n)
    for r, k in enumerate(n):
        to.out["slot"][r] = given["slot"][r] + k
    for i in range(8):
        to.out["recent"][i] = given["recent"][i] // 2 + sum(n)
    to.put("active", [sum(k > 0 for k in n)])
    to.put("raised", [k + 1 for k in n], 0)
