"""What lies beyond the live points."""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def tails(n: Annotated[i32, "req", mp.below(5)], graph: Annotated[i32, mp.between(0, 40)]):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    return dict(
        constant=mp.tail(tok.offset, -3),
        wide=mp.tail(i64(tok.offset), -(1 << 40)),
        expression=mp.tail(tok.offset, tok.index - tok.size * 2),
        scalar=mp.tail(tok.offset, graph + mp.sum(n, over=req)),
        last=mp.tail(tok.indptr, mp.LAST, until=5),
        kept=tok.offset,
        undefined=mp.tail(tok.offset, mp.UNDEFINED),
        until=mp.tail(tok.offset, 9, until=graph),
        marks=mp.tail(tok.offset > 1, True),
        pairs=mp.tail(mp.on(tok, tok.offset, n), -1, until=graph),
    )


@sample(tails, lambda rng, n: counts(rng, n, graph=int(rng.integers(0, 41))), req=6)
def _(given, to: Loops):
    n, graph = given["n"].tolist(), given["graph"]
    offset = [j for k in n for j in range(k)]
    live, room = len(offset), to.out["kept"].size
    to.put("constant", offset, -3)
    to.put("wide", offset, -(1 << 40))
    to.put("expression", offset + [t - live * 2 for t in range(live, room)])
    to.put("scalar", offset, graph + live)
    to.put("last", (start(n) + [live] * 6)[: max(6, len(n) + 1)])
    to.put("kept", offset)
    to.put("undefined", offset)
    to.only("undefined", live)
    to.put("until", (offset + [9] * max(graph - live, 0))[:room])
    to.put("marks", [j > 1 for j in offset], 1)
    record = [v for k in n for j in range(k) for v in (j, k)]
    to.put("pairs", (record + [-1, -1] * max(graph - live, 0))[: 2 * room])


@mp.plan
def own_places(
    n: Annotated[i32, "req", mp.below(5)],
    graph: Annotated[i32, mp.between(0, 40)],
    spare: Annotated[i32, 9, mp.between(-9, 9)],
):
    req = mp.axis("req")
    tok = mp.ragged(req, n)
    slot = mp.dense(None, 9)
    beyond = tok.index - tok.size
    free = mp.where(tok.index < 9, spare[tok.index], beyond)
    return dict(
        beyond=mp.tail(tok.offset, beyond),
        twice=mp.tail(tok.offset, beyond * beyond + 1, until=graph),
        spares=mp.tail(tok.offset, free),
        pairs=mp.tail(mp.on(tok, tok.offset, n), tok.index + 1, until=graph),
        owners=mp.put(slot, 2, graph, init=slot.index & 3),
    )


@sample(own_places, lambda rng, n: counts(rng, n, graph=int(rng.integers(0, 41)), spare=rng.integers(-9, 10, 9)), req=6)  # fmt: skip
def _(given, to: Loops):
    n, graph, spare = given["n"].tolist(), given["graph"], given["spare"].tolist()
    offset = [j for k in n for j in range(k)]
    live, room = len(offset), to.out["spares"].size
    to.put("beyond", offset + [t - live for t in range(live, room)])
    squares = [(t - live) ** 2 + 1 for t in range(live, min(graph, room))]
    to.put("twice", offset + squares)
    to.put("spares", offset + [spare[t] if t < 9 else t - live for t in range(live, room)])
    record = [v for k in n for j in range(k) for v in (j, k)]
    record += [t + 1 for t in range(live, min(graph, room)) for _ in (0, 1)]
    to.put("pairs", record)
    to.put("owners", [s & 3 for s in range(9)])
    to.out["owners"][2] = graph
