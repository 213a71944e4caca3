# pyright: basic
"""Graphs, streams and events under one face: on a CPU a graph is its function, and order needs no events."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

import torch

from bench import measure

Call = Callable[[], Any]


def graph(call: Call, device: str) -> Call:
    """``call`` recorded once; what is returned replays it on the current stream."""
    return call if device == "cpu" else measure.capture(call).replay


def stream(device: str) -> Any:
    return None if device == "cpu" else torch.cuda.Stream()


def on(where: Any) -> contextlib.AbstractContextManager[Any]:
    return contextlib.nullcontext() if where is None else torch.cuda.stream(where)


def synchronize(where: Any = None) -> None:
    """Waits for a stream, or for the current one."""
    if torch.cuda.is_available():
        (where or torch.cuda.current_stream()).synchronize()


class Event:
    """A CUDA event without a time."""

    def __init__(self, device: str) -> None:
        self.event = None if device == "cpu" else torch.cuda.Event()

    def record(self) -> None:
        """On the current stream."""
        if self.event is not None:
            self.event.record()

    def hold(self) -> None:
        """The current stream goes on when this has happened."""
        if self.event is not None:
            torch.cuda.current_stream().wait_event(self.event)

    def synchronize(self) -> None:
        """The host does."""
        if self.event is not None:
            self.event.synchronize()


def busy(microseconds: float) -> None:
    """Stands for what a server does between steps: a thread that computes and does not sleep."""
    end = time.perf_counter_ns() + int(microseconds * 1e3)
    while time.perf_counter_ns() < end:
        pass


def host_us(call: Call, calls: int) -> float:
    """Without a GPU: microseconds of a call."""
    begin = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return (time.perf_counter_ns() - begin) / calls / 1e3


def saturated_us(replay: Call, replays: int = 50) -> float:
    """GPU microseconds of a replay when nothing is waited for: ``replays`` back to back between two events."""
    if not torch.cuda.is_available():
        return host_us(replay, 3)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for _ in range(3):
        replay()
    start.record()
    for _ in range(replays):
        replay()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / replays * 1e3


def steady_ns(step: Call, steps: int, warm: int) -> int:
    """Host nanoseconds from the return of step ``warm`` to that of ``steps`` later ones."""
    gc.collect()
    gc.disable()
    for _ in range(warm):
        step()
    begin = time.perf_counter_ns()
    for _ in range(steps):
        step()
    took = time.perf_counter_ns() - begin
    gc.enable()
    return took
