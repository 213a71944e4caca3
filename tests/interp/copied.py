"""Plans in which every kind of value depends on which copy computes, and batches for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

import metaplan as mp
from metaplan import i32
from metaplan.lang.plan import Plan

Number = Annotated[i32, "req", mp.between(-9, 9)]
Count = Annotated[i32, "req", mp.below(5)]
Key = Annotated[i32, "req", mp.below(6)]
State = mp.between(0, 100000)


@mp.plan
def folds(n: Count, x: Number):
    req = mp.axis("req")
    step = mp.steps(3)
    tok = mp.ragged(req, mp.minimum(n, step.index + 2))
    each = mp.fold(
        tok,
        lambda c: {"a": mp.where(c.a > 20, 0, c.a + x * (step.index + 1) + tok.offset)},
        a=mp.carry(0, -1000, 1000),
    )
    alike = mp.fold(tok, lambda c: {"a": c.a + x + tok.offset}, a=mp.carry(0, -1000, 1000))
    return dict(after=each.after.a, last=each.last.a + 1, before=alike.before.a)


@mp.plan
def searches(n: Annotated[i32, "req", mp.below(50)]):
    req = mp.axis("req")
    step = mp.steps(3)
    wanted = 10 * (step.index + 1)
    room = mp.bisect(0, 50, lambda most: mp.sum(mp.minimum(n, most), over=req) >= wanted)
    return dict(room=room, over=n - room)


@mp.plan
def rows(n: Count, x: Number):
    req = mp.axis("req")
    step = mp.steps(2)
    group = mp.groups(2)
    tok = mp.ragged(req, mp.minimum(n, step.index + 3))
    value = (x * (tok.offset - 1) * (group.index * 2 - 1)) % 5
    return dict(
        sorted=mp.sort(value, over=tok),
        running=mp.cumsum(value, per=req),
        order=mp.argsort(value, over=tok),
    )


@mp.plan
def sweeps(n: Count, key: Key):
    mp.axis("req")
    step = mp.steps(3)
    bucket = mp.dense(None, 6)
    count = mp.histogram((key + step.index) % 6, bucket)
    return dict(
        count=count,
        starts=mp.indptr(count),
        rank=mp.rank((key * step.index) % 6),
        place=mp.locate(mp.cumsum(n), mp.at(n, step.index)),
    )


@mp.plan
def sums_of_sums(n: Count):
    req = mp.axis("req")
    step = mp.steps(3)
    return dict(
        twice=mp.cumsum(mp.cumsum(n * step.index)),
        backwards=mp.at(mp.cumsum(n + step.index), req.size - 1 - req.index),
    )


@mp.plan
def scattered(n: Count, key: Key):
    req = mp.axis("req")
    step = mp.steps(3)
    bucket = mp.dense(None, 6)
    moved = (key + step.index) % 6
    return dict(
        added=mp.put(bucket, key, n * step.index, combine="add", init=step.index),
        last_of_each=mp.put(bucket, moved, req.index, combine="last", init=-1),
        last_of_all=mp.put(bucket, key, req.index + step.index, combine="last", init=-1),
        most=mp.put(bucket, key, n, where=n > step.index, combine="max", init=-1),
    )


@mp.plan
def changes(
    n: Count,
    key: Key,
    own: Annotated[i32, "step", 6, State, mp.STATE],
    common: Annotated[i32, 6, State, mp.STATE],
    newest: Annotated[i32, "step", 6, State, mp.STATE],
    seen: Annotated[i32, 6, State, mp.STATE],
):
    mp.axis("req")
    step = mp.steps(3)
    return dict(
        owned=mp.update(own[step, key], n, combine="add"),
        shared=mp.update(common[key], n * step.index, combine="add"),
        renewed=mp.update(newest[step, key], n + step.index, combine="last"),
        once=mp.update(seen[key], n + 1, combine="add"),
        scaled=n * step.index,
    )


@mp.plan
def lists(
    n: Count,
    three: Annotated[i32, mp.EACH, 3, "req", 4, mp.between(-9, 9)],
    layers: Annotated[i32, mp.EACH, "layer", "page", mp.between(-9, 9)],
    chosen: Annotated[i32, "layer", mp.between(-1, 3)],
):
    req = mp.axis("req")
    layer = mp.dense(None, "layer")
    tok = mp.ragged(req, n)
    return dict(
        by_place=three[tok.offset % 3, req, tok.offset % 4],
        total=mp.sum(three[1, req, tok.offset % 4], over=tok),
        by_number=mp.where(chosen >= 0, three[mp.minimum(chosen, 2), 0, 1], -1),
        by_layer=layers[layer.index, 2],
        rank=mp.rank(three[2, req, 0]),
    )


PLANS: tuple[Plan, ...] = (
    folds, searches, rows, sweeps, sums_of_sums, scattered, changes, lists,
)  # fmt: skip
SIZES: Mapping[str, int] = {"layer": 4}


def batch(plan: Plan, rng: np.random.Generator, live: int) -> dict[str, Any]:
    """Inputs for one of the plans."""
    every = {
        "n": rng.integers(0, 50 if plan is searches else 5, live),
        "x": rng.integers(-9, 10, live),
        "key": rng.integers(0, 6, live),
        "own": rng.integers(0, 50, (3, 6)),
        "common": rng.integers(0, 50, 6),
        "seen": rng.integers(0, 50, 6),
        "newest": rng.integers(0, 50, (3, 6)),
        "three": [rng.integers(-9, 9, (max(live, 1), 4 + i)) for i in range(3)],
        "layers": [rng.integers(-9, 9, 5 + i) for i in range(4)],
        "chosen": rng.integers(-1, 3, 4),
    }
    return {i.name: every[i.name] for i in plan.ir.inputs} | {"req": live}
