# pyright: basic
"""Whether every rung makes the naive loop's tokens, with rows that end at differing places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from bench.ladder.models import build
from bench.ladder.rungs import RUNGS
from bench.ladder.shape import Shape


@torch.no_grad()
def check(
    name: str, device: str, dtype: torch.dtype, shape: Shape, rungs: Iterable[str]
) -> dict[str, Any]:
    """For each rung in how many of the cases its tokens are equal: no row ends, rows end at differing places, all end.

    A rung runs each case twice: what it keeps from the first call must not show in the second.
    """
    model = build(name, device, dtype)
    decide(model)
    ids = prompts(model, shape)
    free = RUNGS["naive"](model, shape)(ids)[:, shape.prompt :]
    cases = [
        shape,
        Shape(shape.batch, shape.prompt, shape.new, differing(free)),
        Shape(1, shape.prompt, shape.new, int(free[0, shape.new // 2])),
    ]
    wanted = [RUNGS["naive"](model, case)(ids[: case.batch]) for case in cases]
    assert wanted[2].shape[1] < shape.longest
    equal: dict[str, int] = {}
    for rung in rungs:
        equal[rung] = 0
        for case, want in zip(cases, wanted, strict=True):
            generate = RUNGS[rung](model, case)
            equal[rung] += all(torch.equal(generate(ids[: case.batch]), want) for _ in range(2))
    return {
        "model": name,
        "dtype": str(dtype).removeprefix("torch."),
        "batch": shape.batch,
        "prompt": shape.prompt,
        "new": [want.shape[1] - shape.prompt for want in wanted],
        "cases": len(cases),
        "equal": equal,
    }


def decide(model: Any) -> None:
    """Larger weights: choices that vary, and that a last bit does not turn."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4)


def prompts(model: Any, shape: Shape, seed: int = 1) -> torch.Tensor:
    """int64[batch, prompt], without the pad."""
    draw = torch.Generator().manual_seed(seed)
    size = (shape.batch, shape.prompt)
    return torch.randint(1, model.config.vocab_size, size, generator=draw).to(model.device)


def differing(free: torch.Tensor) -> int:
    """A token that ends rows at as many places as one can."""
    rows = free.tolist()

    def places(token: int) -> set[int]:
        return {row.index(token) for row in rows if token in row}

    return max({t for row in rows for t in row[1:]}, key=lambda t: (len(places(t)), t))
