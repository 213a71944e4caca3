"""What random plans came down to: small plans that once were refused, or that a kernel got wrong."""

from __future__ import annotations

from typing import Annotated

import numpy as np

import metaplan as mp
from metaplan import i32
from tests.samples.core import Loops, counts, sample


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
