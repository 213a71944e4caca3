"""A batch cut into chunks of one size, which the batch decides, and dealt out chunk by chunk."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32
from tests.samples.core import Loops, sample

PARTS, ROOM = 6, 10


@mp.plan
def split(n: Annotated[i32, "req", mp.between(0, 64)]):
    """A search that sums over the batch, inside the steps of a fold."""
    req = mp.axis("req")
    size = mp.bisect(1, 64, lambda size: mp.sum(mp.cdiv(n, size), over=req) <= PARTS)
    chunk = mp.ragged(req, mp.cdiv(n, size), most=PARTS)
    tokens = mp.minimum(n - chunk.offset * size, size)

    def assign(now: mp.Moment) -> dict[str, mp.Integer]:
        fits = now.used + tokens <= ROOM
        used = mp.where(fits, now.used + tokens, tokens)
        return dict(used=used, part=now.part + mp.where(fits, 0, 1))

    walk = mp.fold(chunk, assign, used=mp.carry(0, 0, 128), part=mp.carry(0, 0, 64))
    return dict(
        size=size,
        tokens=mp.tail(tokens, 0),
        part=mp.tail(walk.after.part, -1),
        last=walk.last.part * 100 + walk.last.used,
    )


@sample(split, lambda rng, n: {"n": rng.integers(0, 65, n), "req": n}, req=6)
def _(given, to: Loops):
    n = np.asarray(given["n"]).tolist()
    size = next((s for s in range(1, 64) if sum(-(-k // s) for k in n) <= PARTS), 64)
    to.put("size", [size])
    tokens, parts, last = [], [], []
    for k in n:
        used, part = 0, 0
        for first in range(0, k, size):
            own = min(k - first, size)
            used, part = (used + own, part) if used + own <= ROOM else (own, part + 1)
            tokens.append(own)
            parts.append(part)
        last.append(part * 100 + used)
    to.put("tokens", tokens, 0)
    to.put("part", parts, -1)
    to.put("last", last)
