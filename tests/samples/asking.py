"""Values of other points: sums of sums, values elsewhere, searches, counts by bucket, ranks."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def sums_of_sums(
    n: Annotated[i32, "req", mp.below(5)],
    x: Annotated[i32, "req", mp.between(-9, 9)],
    cells: Annotated[i32, "cell", mp.between(0, 9)],
):
    req = mp.axis("req")
    four = mp.dense(req, 4)
    tok = mp.ragged(req, n)
    win = mp.ragged(tok, mp.minimum(tok.offset + 1, 3))
    in_window = mp.sum(win.offset * x, over=win)
    running = mp.indptr(x)
    longest = mp.maximum(mp.max(in_window, over=tok), -99)
    return dict(
        by_request=mp.tail(mp.sum(in_window, over=tok), 0),
        total=mp.sum(running, over=req),
        twice=mp.indptr(running),
        of_longest=mp.sum(longest, over=req),
        mirrored=mp.at(running, req.size - 1 - req.index),
        beyond=mp.tail(mp.at(x, x, other=-7), 3),
        by_token=mp.tail(mp.at(in_window, tok.index + x, other=99), -1),
        through=mp.indptr(mp.sum(cells[mp.indptr(n) + four.offset], over=four)),
    )


def _signed(rng, n):
    cells = rng.integers(0, 10, 24 * 25).astype(np.int32)
    return counts(rng, n, x=rng.integers(-9, 10, n).astype(np.int32), cells=cells)


@sample(sums_of_sums, _signed, req=6)
def _(given, to: Loops):
    n, x = given["n"].tolist(), given["x"].tolist()
    window = [
        [sum(o * x[r] for o in range(min(j + 1, 3))) for j in range(k)] for r, k in enumerate(n)
    ]
    running = start(x)[:-1]
    to.put("by_request", [sum(row) for row in window], 0)
    to.put("total", [sum(running)])
    to.put("twice", start(running), sum(running))
    to.put("of_longest", [sum(max([-99, *row]) for row in window)])
    to.put("mirrored", running[::-1])
    to.put("beyond", [x[v] if 0 <= v < len(x) else -7 for v in x], 3)
    flat = [v for row in window for v in row]
    places = [t + x[r] for t, r in enumerate(r for r, k in enumerate(n) for _ in range(k))]
    cells, begins = given["cells"].tolist(), start(n)[:-1]
    through = start([sum(cells[b : b + 4]) for b in begins])
    to.put("through", through, through[-1])
    to.put("by_token", [flat[p] if 0 <= p < len(flat) else 99 for p in places], -1)


EXPERTS = 5


@mp.plan
def searches(
    n: Annotated[i32, "req", mp.below(5)],
    cuts: Annotated[i64, "cut", mp.between(-40, 40)],
    wanted: Annotated[i64, "req", mp.between(-50, 50)],
):
    req, cut = mp.axis("req"), mp.axis("cut")
    tok = mp.ragged(req, n)
    part = mp.dense(None, 7)
    return dict(
        owner=mp.locate(tok.indptr, part.index * 3),
        left=mp.locate(cuts[cut], wanted, side="left"),
        right=mp.tail(mp.locate(cuts[cut], wanted), -1),
        by_token=mp.tail(mp.locate(cuts[cut], i64(tok.index)), 0),
        among_tokens=mp.locate(tok.index * 2, part.index),
        empty_before=mp.locate(tok.indptr, req.size),
    )


def _cuts(rng, n):
    live = int(rng.integers(0, 9))
    cuts = np.sort(rng.integers(-40, 41, 8))
    return counts(rng, n, cuts=cuts, cut=live, wanted=rng.integers(-50, 51, n))


@sample(searches, _cuts, req=6, cut=8)
def _(given, to: Loops):
    n, wanted = given["n"].tolist(), given["wanted"].tolist()
    cuts = given["cuts"].tolist()[: given["cut"]]
    begins, tokens = start(n)[:-1], sum(n)
    to.put("owner", [sum(b <= 3 * p for b in begins) for p in range(7)])
    to.put("left", [sum(c < w for c in cuts) for w in wanted])
    to.put("right", [sum(c <= w for c in cuts) for w in wanted], -1)
    to.put("by_token", [sum(c <= t for c in cuts) for t in range(tokens)], 0)
    to.put("among_tokens", [sum(2 * t <= p for t in range(tokens)) for p in range(7)])
    to.put("empty_before", [sum(b <= len(n) for b in begins)])


@mp.plan
def buckets(
    n: Annotated[i32, "req", mp.below(5)],
    expert: Annotated[i32, "req", 3, mp.below(EXPERTS)],
    weight: Annotated[i64, "req", mp.between(-(1 << 40), 1 << 40)],
):
    req = mp.axis("req")
    choice = mp.dense(req, 3)
    bucket = mp.dense(None, EXPERTS)
    key = expert[req, choice.offset]
    count = mp.histogram(key, bucket)
    place = mp.indptr(mp.cdiv(count, 4) * 4)
    tok = mp.ragged(req, n)
    own = (tok.offset * 7 + req.index) % EXPERTS
    return dict(
        count=count,
        first=place,
        ranks=mp.on(choice, mp.rank(key)),
        sorted_place=mp.on(choice, mp.at(place, key) + mp.rank(key)),
        heaviest=mp.max(mp.where(expert[req, 0] == mp.given(bucket.index), weight, 0), over=req),
        tokens=mp.histogram(own, bucket),
        token_rank=mp.tail(mp.rank(own, where=own > 1), -1),
        any_first=mp.any(expert[req, 0] == mp.given(bucket.index), over=req),
    )


def _experts(rng, n):
    expert = rng.integers(0, EXPERTS, (n, 3)).astype(np.int32)
    weight = rng.integers(-(1 << 40), (1 << 40) + 1, n)
    return counts(rng, n, expert=expert, weight=weight)


@sample(buckets, _experts, req=6)
def _(given, to: Loops):
    n, expert, weight = (given[name].tolist() for name in ("n", "expert", "weight"))
    keys = [e for row in expert for e in row]
    count = [keys.count(b) for b in range(EXPERTS)]
    first = start([-(-c // 4) * 4 for c in count])
    ranks = [keys[:at].count(e) for at, e in enumerate(keys)]
    to.put("count", count)
    to.put("first", first)
    to.put("ranks", ranks)
    to.put("sorted_place", [first[e] + r for e, r in zip(keys, ranks, strict=True)])
    heaviest, seen = [], []
    for b in range(EXPERTS):
        own = [w if row[0] == b else 0 for w, row in zip(weight, expert, strict=True)]
        heaviest.append(max(own, default=-(1 << 63)))
        seen.append(any(row[0] == b for row in expert))
    to.put("heaviest", heaviest)
    to.put("any_first", seen)
    own = [(j * 7 + r) % EXPERTS for r, k in enumerate(n) for j in range(k)]
    to.put("tokens", [own.count(b) for b in range(EXPERTS)])
    to.put("token_rank", [own[:t].count(b) if b > 1 else 0 for t, b in enumerate(own)], -1)


@mp.plan
def windows(n: Annotated[i32, "req", mp.below(5)], key: Annotated[i32, "req", mp.below(3)]):
    req = mp.axis("req")
    begin, end = req.index - n, req.index + n
    behind = mp.given(begin) <= req.index
    return dict(
        near=mp.sum(behind & (req.index < mp.given(end)) & (key == mp.given(key)), over=req),
        from_here=mp.sum(behind & (key != mp.given(key)), over=req),
        small=mp.sum(behind & (mp.indptr(n) < mp.given(n * 4)), over=req),
    )


@sample(windows, lambda rng, n: counts(rng, n, key=rng.integers(0, 3, n)), req=6)
def _(given, to: Loops):
    n, key = given["n"].tolist(), given["key"].tolist()
    every, before = range(len(n)), start(n)
    spans = [range(max(r - n[r], 0), min(r + n[r], len(n))) for r in every]
    to.put("near", [sum(key[t] == key[r] for t in spans[r]) for r in every])
    late = [range(max(r - n[r], 0), len(n)) for r in every]
    to.put("from_here", [sum(key[t] != key[r] for t in late[r]) for r in every])
    to.put("small", [sum(before[t] < n[r] * 4 for t in late[r]) for r in every])


@mp.plan
def keys(
    key: Annotated[i32, "req", 3, mp.between(-3, 9)],
    far: Annotated[i32, "req", mp.between(-(1 << 20), 1 << 20)],
    weight: Annotated[i32, "req", mp.below(4)],
):
    req = mp.axis("req")
    choice = mp.dense(req, 3)
    bucket = mp.dense(None, 6)
    beyond = mp.dense(None, 14)
    own = key[req, choice.offset]
    heavy = weight > 1
    some = mp.histogram(own, bucket, where=heavy)
    return dict(
        few=mp.histogram(own, bucket),
        every=mp.histogram(own, beyond),
        far_few=mp.histogram(far, bucket),
        some=some,
        before=mp.indptr(some),
        rank=mp.on(choice, mp.rank(own)),
        heavier=mp.on(choice, mp.rank(own, where=heavy)),
        far_rank=mp.rank(far, where=heavy),
        of_weight=mp.rank(weight),
    )


def _keys(rng, n):
    key = rng.integers(-3, 10, (n, 3)).astype(np.int32)
    far = rng.choice([-(1 << 20), -1, 0, 3, 5, 6, 1 << 20], n).astype(np.int32)
    return dict(key=key, far=far, weight=rng.integers(0, 4, n).astype(np.int32), req=n)


@sample(keys, _keys, req=11)
def _(given, to: Loops):
    far, weight = given["far"].tolist(), given["weight"].tolist()
    key = [k for row in given["key"].tolist() for k in row]
    heavy = [w > 1 for w in weight for _ in range(3)]
    some = [sum(k == b and h for k, h in zip(key, heavy, strict=True)) for b in range(6)]
    to.put("few", [key.count(b) for b in range(6)])
    to.put("every", [key.count(b) for b in range(14)])
    to.put("far_few", [far.count(b) for b in range(6)])
    to.put("some", some)
    to.put("before", start(some))
    to.put("rank", [key[:t].count(k) for t, k in enumerate(key)])
    earlier = [[key[s] for s in range(t) if heavy[s]] for t in range(len(key))]
    to.put("heavier", [before.count(k) for before, k in zip(earlier, key, strict=True)])
    heaviest = [[far[s] for s in range(t) if weight[s] > 1] for t in range(len(far))]
    to.put("far_rank", [before.count(f) for before, f in zip(heaviest, far, strict=True)])
    to.put("of_weight", [weight[:t].count(w) for t, w in enumerate(weight)])
