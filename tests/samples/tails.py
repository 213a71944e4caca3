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
