# pyright: basic
"""How long a rung takes for all its tokens."""

from __future__ import annotations

import gc
import statistics
import time
from typing import Any

import torch

from bench.ladder.checked import prompts
from bench.ladder.rungs import RUNGS
from bench.ladder.shape import Shape
from bench.measure import awake, synchronize


@torch.no_grad()
def time_rung(rung: str, model: Any, shape: Shape, repeats: int, until: float) -> dict[str, Any]:
    """Seconds of each of ``repeats`` calls, fewer where the clock passes ``until``; a call before them warms up.

    The last call's tokens are summed up, so that rungs of equal arithmetic can be told apart from others.
    """
    begun = time.perf_counter()
    ids = prompts(model, shape)
    generate = RUNGS[rung](model, shape)
    warm = generate if rung != "naive" else RUNGS[rung](model, Shape(shape.batch, shape.prompt, 4))
    warm(ids)
    synchronize()
    warmed = time.perf_counter() - begun
    took: list[float] = []
    while not took or (len(took) < repeats and time.perf_counter() + took[-1] < until):
        gc.collect()
        awake()
        synchronize()
        start = time.perf_counter()
        made = generate(ids)
        synchronize()
        took.append(time.perf_counter() - start)
        assert made.shape == (shape.batch, shape.longest), made.shape
    seconds = statistics.median(took)
    return {
        "rung": rung,
        "batch": shape.batch,
        "seconds": [round(t, 5) for t in took],
        "warm_up_seconds": round(warmed, 1),
        "tokens_per_second": round(shape.batch * shape.new / seconds, 1),
        "step_us": round(seconds / shape.new * 1e6, 1),
    }
