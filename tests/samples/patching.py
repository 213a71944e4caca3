"""Elements of tables that the host changed."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, sample

FAR = 1 << 60


@mp.plan
def patches(
    rows: Annotated[i32, "patch", mp.below(6), mp.HOST],
    starts: Annotated[i32, "patch", mp.below(9), mp.HOST],
    lengths: Annotated[i32, "patch", mp.below(7), mp.HOST],
    pages: Annotated[i32, "cell", mp.HOST],
    slots: Annotated[i64, "cell", mp.HOST],
    at: Annotated[i32, "req", mp.between(-1, 40), mp.HOST, mp.DISTINCT],
    n: Annotated[i32, "req", mp.below(4), mp.HOST],
    ids: Annotated[i32, "id", mp.HOST],
    page_table: Annotated[i32, "row", "page", mp.STATE],
    slot_table: Annotated[i64, "row", "page", mp.STATE],
    tokens: Annotated[i32, "token", mp.STATE],
):
    patch, req = mp.axis("patch"), mp.axis("req")
    return dict(
        page_table=mp.patch(page_table, rows=rows, starts=starts, lengths=lengths, contents=pages),
        slot_table=mp.patch(slot_table, rows=rows, starts=starts, lengths=lengths, contents=slots),
        tokens=mp.patch(tokens, starts=at * 4, lengths=n, contents=ids),
        changed=mp.sum(lengths, over=patch) + 0 * mp.max(n, over=req),
    )


def _patches(rng, n):
    count = int(rng.integers(0, 8))
    given = dict.fromkeys(("rows", "starts", "lengths"), np.zeros(0, np.int64))
    taken: list[tuple[int, int, int]] = []
    for row in rng.permutation(6)[: count // 2]:
        edges = np.sort(rng.choice(np.arange(12), 4, replace=False))
        taken += [(row, edges[0], edges[1] - edges[0]), (row, edges[2], edges[3] - edges[2])]
    taken = [(r, s, min(k, 6)) for r, s, k in taken if s < 9]
    if taken:
        given = dict(zip(given, np.array(taken).T, strict=True))
    at = rng.permutation(12)[:n] - 1
    return dict(
        **given,
        patch=len(taken),
        req=n,
        pages=rng.integers(-9, 9, 48),
        slots=rng.integers(-FAR, FAR, 48),
        at=at,
        n=rng.integers(0, 4, n),
        ids=rng.integers(0, 99, 24),
        page_table=rng.integers(-9, 9, (6, 12)),
        slot_table=rng.integers(-9, 9, (6, 12)),
        tokens=rng.integers(-9, 9, 40),
    )


@sample(patches, _patches, broken=True, patch=8, req=6, cell=48, id=24, row=6, page=12, token=40)
def _(given, to: Loops):
    """Two tables of one shape, and an array of one dimension; rows of nobody are left alone."""
    at = 0
    for row, begin, length in zip(
        *(given[k].tolist() for k in ("rows", "starts", "lengths")), strict=True
    ):
        for j in range(length):
            if begin + j < 12:
                to.out["page_table"][row, begin + j] = given["pages"][at]
                to.out["slot_table"][row, begin + j] = given["slots"][at]
            at += 1
    to.put("changed", [at])
    at = 0
    for begin, length in zip(given["at"].tolist(), given["n"].tolist(), strict=True):
        for j in range(length):
            if 0 <= 4 * begin + j < 40:
                to.out["tokens"][4 * begin + j] = given["ids"][at]
            at += 1
