"""What random plans came down to: small plans that once were refused, or that a kernel got wrong."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import boolean, i32
from tests.samples.core import Loops, counts, sample, start


@mp.plan
def settled(
    n: Annotated[i32, "req", mp.below(5)],
    x: Annotated[i32, "req", "k", mp.below(3)],
    y: Annotated[i32, "req", mp.below(9), mp.HOST],
):
    """Ranges decide what is chosen: what is read for the choice changes nothing."""
    req = mp.axis("req")
    return dict(chosen=mp.where((x[req, n] < 3) & (y <= 8), n, -1))


def _settled(rng, n):
    return counts(rng, n, x=rng.integers(0, 3, (n, 5)), y=rng.integers(0, 9, n))


@sample(settled, _settled, req=6)
def _(given, to: Loops):
    to.put("chosen", np.asarray(given["n"]).tolist())


@mp.plan
def under_selected(
    chosen: Annotated[boolean, "req"],
    n: Annotated[i32, "req", mp.below(4)],
    x: Annotated[i32, "pick", mp.below(5)],
):
    """Rows of one width under the points that are selected; a second selection among those."""
    req = mp.axis("req")
    some = mp.compact(req, where=chosen)
    col = mp.dense(some, 3)
    tok = mp.ragged(col, n)
    pick = mp.compact(some, where=some.index % 2 == 0)
    return dict(
        cols=col.index,
        starts=tok.indptr,
        below=mp.sum(col.offset + n, over=col, to=req),
        longest=mp.max(tok.index, over=tok, to=req),
        running=mp.cumsum(x),
    )


def _under_selected(rng, n):
    return counts(rng, n, 4, chosen=rng.random(n) < 0.6, x=rng.integers(0, 5, 6))


@sample(under_selected, _under_selected, req=6)
def _(given, to: Loops):
    n, chosen = given["n"].tolist(), given["chosen"].tolist()
    some = [r for r in range(len(n)) if chosen[r]]
    lengths = [n[r] for r in some for _ in range(3)]
    starts = start(lengths)
    to.put("cols", list(range(3 * len(some))))
    to.put("starts", starts, starts[-1])
    to.put("below", [3 + 3 * k if c else 0 for k, c in zip(n, chosen, strict=True)])
    ends = {r: starts[3 * at + 3] - 1 for at, r in enumerate(some) if n[r]}
    to.put("longest", [ends.get(r, -(2**31)) for r in range(len(n))])
    x = np.asarray(given["x"]).tolist()
    to.put("running", [sum(x[: at + 1]) for at in range(-(-len(some) // 2))])
