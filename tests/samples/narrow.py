"""Halves of words, bits of a row, and numbers of 16 bits."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64, u8, u16
from tests.samples.core import Loops, counts, sample, start

WIDE = 1 << 60


@mp.plan
def halves(
    n: Annotated[i32, "req", mp.below(5)],
    low: Annotated[u16, "req"],
    high: Annotated[u16, "req", mp.below(9)],
    x: Annotated[i64, "req", mp.between(-WIDE, WIDE)],
    marks: Annotated[u16, "slot", mp.STATE],
    page: Annotated[u16, "req", 4],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    flag = mp.dense(req, 63, name="flag")
    both = mp.pack(low, high)
    return dict(
        packed=mp.tail(both, -1),
        apart=mp.on(req, both & 0xFFFF, (both >> 16) & 0xFFFF),
        per_token=mp.pack(tok.offset + i32(low) // 2, high),
        negative=mp.pack(0, 0xFFFF - n),
        stored=mp.tail(u16(i32(high) * 100 + n), 0xFFFF),
        rows=page[req, 3 - n // 2],
        lower=mp.wrapped(x),
        third=mp.wrapped(x // 3 + 7),
        byte=u8(mp.wrapped(x)),
        marked=mp.update(marks[req.index * 2], u16(n + 65531), where=high > 3),
        masked=low & 0xF0F0 | high,
        equal=low == high,
        larger=mp.maximum(low, high),
        bits=mp.bits((tok.offset + i32(low)) % 2 == 0, over=tok),
        wide=mp.bits((flag.offset * 7 + n) % 5 < 2, over=flag),
        few=mp.tail(u16(mp.wrapped(mp.bits(flag.offset % 16 == n, over=flag) & 0xFFFF)), 0),
    )


def _narrow(rng, n):
    return counts(
        rng,
        n,
        low=rng.integers(0, 1 << 16, n),
        high=rng.integers(0, 9, n),
        x=rng.integers(-WIDE, WIDE, n),
        marks=rng.integers(0, 1 << 16, 300),
        page=rng.integers(0, 1 << 16, (n, 4)),
    )


def _word(x: int) -> int:
    """The lower 32 bits as a signed number."""
    return (x + (1 << 31)) % (1 << 32) - (1 << 31)


@sample(halves, _narrow, req=6, slot=300)
def _(given, to: Loops):
    n, low, high = (np.asarray(given[k]).tolist() for k in ("n", "low", "high"))
    x, page, out = np.asarray(given["x"]).tolist(), given["page"], to.out
    begin = start(n)
    to.put("packed", [_word(a | b << 16) for a, b in zip(low, high, strict=True)], -1)
    to.put("stored", [b * 100 + k for b, k in zip(high, n, strict=True)], 0xFFFF)
    to.put("few", [0x1 << k & 0xFFFF for k in n], 0)
    for r, (k, a, b) in enumerate(zip(n, low, high, strict=True)):
        out["apart"][r] = a, b
        out["negative"][r] = _word((0xFFFF - k) << 16)
        out["rows"][r] = page[r, 3 - k // 2]
        out["lower"][r], out["third"][r] = _word(x[r]), _word(x[r] // 3 + 7)
        out["byte"][r] = x[r] % 256
        if b > 3:
            out["marks"][2 * r] = k + 65531
        out["masked"][r], out["equal"][r], out["larger"][r] = a & 0xF0F0 | b, a == b, max(a, b)
        out["bits"][r] = sum(1 << j for j in range(k) if (j + a) % 2 == 0)
        out["wide"][r] = sum(1 << j for j in range(63) if (j * 7 + k) % 5 < 2)
        for j in range(k):
            out["per_token"][begin[r] + j] = _word(j + a // 2 | b << 16)
