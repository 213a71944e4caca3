# pyright: basic
"""A decode step around a preparation: a model of a known time, and who waits for what it counted."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench import measure
from bench.loops import device
from bench.loops.drafting import SIDE
from bench.loops.v4_sides import Side

MODEL = 8  # matrix products: about 1.5 ms of an H200


class Model:
    """A known time of work, then the count of rejected drafts, which only the device has."""

    def __init__(self, requests: int) -> None:
        made = torch.randn(3, SIDE, SIDE, device="cuda", dtype=torch.bfloat16)
        self.first, self.second, self.out = made
        self.rejected = torch.zeros(requests, dtype=torch.int32, device="cuda")

    def __call__(self) -> None:
        for _ in range(MODEL):
            torch.mm(self.first, self.second, out=self.out)
        self.rejected.zero_()


def wall_us(side: Side, model: Model, steps: int = 48, warm: int = 8) -> float:
    """Wall microseconds of a step."""
    step = waiting(side, model) if side.recorded is None else in_graph(side, model)
    took = device.steady_ns(step, steps, warm)
    torch.cuda.synchronize()
    return took / steps / 1e3


def waiting(side: Side, model: Model) -> Callable[[], None]:
    """The host waits for the counts of the step before, prepares, launches."""
    replay = measure.capture(model).replay
    told = torch.zeros_like(model.rejected, device="cpu").pin_memory()
    aside, done, returned = torch.cuda.Stream(), torch.cuda.Event(), torch.cuda.Event()

    def step() -> None:
        returned.synchronize()
        side.prepare()
        replay()
        done.record()
        with torch.cuda.stream(aside):
            aside.wait_event(done)
            told.copy_(model.rejected, non_blocking=True)
            returned.record()

    return step


def in_graph(side: Side, model: Model) -> Callable[[], None]:
    """Plan and model in one graph; what a step produced is read one step late."""
    assert side.recorded is not None
    recorded = side.recorded
    side.stage()

    def whole() -> None:
        recorded()
        model()

    replay = measure.capture(whole).replay
    told = [torch.zeros_like(model.rejected, device="cpu").pin_memory() for _ in range(2)]
    returned = [torch.cuda.Event() for _ in range(2)]
    turn = 0

    def step() -> None:
        nonlocal turn
        side.stage()
        replay()
        told[turn].copy_(model.rejected, non_blocking=True)
        returned[turn].record()
        turn = 1 - turn
        returned[turn].synchronize()  # of the step before; at the first one of none

    return step
