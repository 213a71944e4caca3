"""Copies: the same formulas for every draft step, or for every group of layers."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start

STEPS, BEAMS = 3, 2


@mp.plan
def draft_steps(
    n: Annotated[i32, "req", mp.below(5)],
    pool: Annotated[i32, "req", mp.below(9)],
    table: Annotated[i32, 9, "slot"],
):
    """The lists of KV slots of a drafter's steps: a request's own tokens, then those that a beam has drafted."""
    req = mp.axis("req")
    step = mp.steps(STEPS)
    beam = mp.dense(req, BEAMS)
    kv = mp.ragged(beam, n + step.index + 1)
    drafted = n + beam.offset * STEPS + kv.offset - n
    return dict(
        indptr=kv.indptr,
        indices=mp.tail(table[pool, mp.where(kv.offset < n, kv.offset, drafted)], -1),
        longest=mp.max(kv.length, over=beam),
        total=kv.size,
        shared=mp.tail(n + 1, 0),
    )


def _drafts(rng, n):
    return counts(rng, n, pool=rng.permutation(9)[:n], table=rng.integers(0, 999, (9, 12)))


@sample(draft_steps, _drafts, req=4)
def _(given, to: Loops):
    n, pool, table = given["n"].tolist(), given["pool"].tolist(), np.asarray(given["table"])
    for step in range(STEPS):
        lengths, slots = [], []
        for k, row in zip(n, pool, strict=True):
            for beam in range(BEAMS):
                lengths.append(k + step + 1)
                slots += [table[row, j] for j in range(k)]
                slots += [table[row, k + beam * STEPS + j] for j in range(step + 1)]
        to.put_copy("indptr", step, start(lengths), sum(lengths))
        to.put_copy("indices", step, slots, -1)
        to.put_copy("longest", step, [k + step + 1 for k in n])
        to.put_copy("total", step, [sum(lengths)])
    to.put("shared", [k + 1 for k in n], 0)


PAGES, FLAGS, WINDOWS = (4, 2, 8), (1, 0, 1), (100, 3, 5)


@mp.plan
def cache_groups(
    n: Annotated[i32, "req", mp.below(13)],
    rows: Annotated[i32, "req", mp.between(-50, 6)],
    tables: Annotated[i32, mp.EACH, "group", "row", "page"],
    scale: Annotated[i64, "group", mp.between(-(1 << 40), 1 << 40)],
):
    """The page lists and slots of every group: its own page size, table, window and flag."""
    req = mp.axis("req")
    group = mp.groups(3)
    page = mp.choose(group.index, *PAGES)
    window = mp.choose(group.index, *WINDOWS)
    row = mp.expect(rows, 0, 6)
    first = mp.maximum(n - window, 0) // page
    held = mp.ragged(req, mp.maximum((n + page - 1) // page - first, 0))
    last = mp.maximum(n - 1, 0)
    block = mp.where(n > 0, tables[group, row, last // page], -1)
    return dict(
        indptr=held.indptr,
        pages=mp.tail(tables[group, row, first + held.offset], -1, until=14),
        slot_mapping=mp.tail(i64(block) * i64(page) + i64(last % page), i64(group.index)),
        scaled=scale * i64(n),
        flagged=mp.keep(n, where=mp.choose(group.index, *FLAGS) == 1),
        counted=mp.sum(n, over=req),
    )


def _tables(rng, n):
    tables = [rng.integers(0, 999, (7, -(-12 // page))) for page in PAGES]
    scale = rng.integers(-(1 << 40), 1 << 40, 3)
    rows = rng.integers(-1, 7, n)
    rows[rng.random(n) < 0.1] = -50
    return counts(rng, n, 13, rows=rows, tables=tables, scale=scale)


@sample(cache_groups, _tables, broken=True, req=5, row=7)
def _(given, to: Loops):
    n, rows = given["n"].tolist(), [max(r, 0) for r in given["rows"].tolist()]
    for g, (page, flag, window) in enumerate(zip(PAGES, FLAGS, WINDOWS, strict=True)):
        table = given["tables"][g]
        lengths, pages, slots = [], [], []
        for k, row in zip(n, rows, strict=True):
            first = max(k - window, 0) // page
            held = range(first, -(-k // page))
            lengths.append(len(held))
            pages += [table[row, j] for j in held]
            last = max(k - 1, 0)
            slots.append((table[row, last // page] if k else -1) * page + last % page)
        to.put_copy("indptr", g, start(lengths), sum(lengths))
        to.put_copy("pages", g, pages + [-1] * (14 - len(pages)))
        to.put_copy("slot_mapping", g, slots, g)
        to.put_copy("scaled", g, [int(given["scale"][g]) * k for k in n])
        if flag:
            to.put_copy("flagged", g, n)
    to.put("counted", [sum(n)])


@mp.plan
def both_copies(
    n: Annotated[i32, "req", mp.below(4)],
    stacked: Annotated[i32, "group", "req", 4, mp.between(-9, 9)],
    count: Annotated[i32, "group", "req", mp.between(0, 99), mp.STATE],
):
    """Steps of groups: the buffers have both dimensions, in the order of declaration."""
    req = mp.axis("req")
    step = mp.steps(2)
    group = mp.groups(3)
    tok = mp.ragged(req, mp.minimum(n, group.index + step.index))
    odd = mp.compact(tok, where=(tok.offset + group.index) % 2 == 1)
    old = count[group, req]
    return dict(
        found=mp.tail(stacked[group, req, tok.offset] * 10 + step.index, -1),
        odd=mp.tail(mp.on(odd, tok.index, group.index), -2),
        kept=odd.size,
        steps_only=n + step.index,
        counted=mp.update(old, old + n * (group.index + 1)),
        sums=mp.cumsum(n * group.index),
    )


def _stacked(rng, n):
    return counts(
        rng, n, 4, stacked=rng.integers(-9, 9, (3, n, 4)), count=rng.integers(0, 99, (3, 6))
    )


@sample(both_copies, _stacked, req=6)
def _(given, to: Loops):
    n = given["n"].tolist()
    for group in range(3):
        for step in range(2):
            copy = (step, group)
            lengths = [min(k, group + step) for k in n]
            stacked = np.asarray(given["stacked"])[group]
            flat = [(r, j) for r, k in enumerate(lengths) for j in range(k)]
            to.put_copy("found", copy, [stacked[r, j] * 10 + step for r, j in flat], -1)
            odd = [(t, group) for t, (_, j) in enumerate(flat) if (j + group) % 2 == 1]
            to.put_copy("odd", copy, [v for pair in odd for v in pair], -2)
            to.put_copy("kept", copy, [len(odd)])
        for r, k in enumerate(n):
            to.out["count"][group, r] = given["count"][group, r] + k * (group + 1)
        to.put_copy("sums", group, start([k * group for k in n])[1:])
    for step in range(2):
        to.put_copy("steps_only", step, [k + step for k in n])
