# pyright: basic
"""Loops that verify drafts: three ways in which the host learns how many were accepted."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable

import numpy as np
import torch

import metaplan as mp
from bench.loops import device
from bench.loops.drafting import PAGE, Drafting


class Counting(ABC):
    """A loop over ``drafting``; ``host_us`` of other host work in each step."""

    name: str
    host_us = 0.0

    def __init__(self, drafting: Drafting) -> None:
        self.drafting = drafting
        self.waited_ns = 0
        """Time that the host was blocked for counts, since ``start``."""

    @abstractmethod
    def start(self) -> None:
        """Every request at its first length."""

    @abstractmethod
    def step(self) -> None: ...

    def stop(self) -> None:  # noqa: B027  a loop that waits has none
        """Takes results that are in flight."""

    @abstractmethod
    def tables(self) -> np.ndarray:
        """int32[rows, pages]: where each request's tokens went."""

    def wrong(self, steps: int) -> list[str]:
        return self.drafting.wrong(self.tables(), steps)


class Blocking(Counting):
    """Reads the counts when the step is over, verify and drafts; then prepares the next one in NumPy."""

    name = "blocking read"

    def __init__(self, drafting: Drafting) -> None:
        super().__init__(drafting)
        shape, where = drafting.shape, drafting.device
        sizes = (shape.tokens, shape.tokens, shape.rows, shape.rows * drafting.width)
        self.block = torch.zeros(sum(sizes), dtype=torch.int32, device=where)
        self.host = torch.zeros(sum(sizes), dtype=torch.int32, pin_memory=where != "cpu")
        self.positions, self.slot_mapping, _, _ = self.block.split(sizes)
        self.views = [part.numpy() for part in self.host.split(sizes)]
        self.record()

    def record(self) -> None:
        self.replay = device.graph(self.whole, self.drafting.device)

    def whole(self) -> None:
        self.drafting.verify(self.positions, self.slot_mapping)
        self.drafting.draft()

    def start(self) -> None:
        drafting = self.drafting
        drafting.reset()
        self.lengths = drafting.first.astype(np.int64)
        self.table = np.zeros((drafting.shape.rows, drafting.width), np.int32)
        self.held = np.zeros(drafting.shape.rows, np.int64)
        self.next_page, self.waited_ns = 1, 0

    def step(self) -> None:
        device.busy(self.host_us)
        self.prepare()
        self.lengths += self.run()

    def prepare(self) -> None:
        """Positions, slots, sequence lengths and the block table: one pinned copy."""
        queries = self.drafting.shape.queries
        self.grow(self.lengths + queries)
        positions = self.lengths[:, None] + np.arange(queries)
        pages = np.take_along_axis(self.table, positions // PAGE, 1)
        first, second, seq_lens, table = self.views
        first[:] = positions.ravel()
        second[:] = (pages * PAGE + positions % PAGE).ravel()
        seq_lens[:] = self.lengths + queries
        table[:] = self.table.ravel()
        self.block.copy_(self.host, non_blocking=True)

    def grow(self, tokens: np.ndarray) -> None:
        needed = -(-tokens // PAGE)
        for row in np.flatnonzero(needed > self.held).tolist():
            count = int(needed[row] - self.held[row])
            pages = np.arange(self.next_page, self.next_page + count)
            self.table[row, self.held[row] : needed[row]] = pages
            self.held[row] = needed[row]
            self.next_page += count

    def run(self) -> np.ndarray:
        """Launches the step; the counts, int64[rows]."""
        self.replay()
        begin = time.perf_counter_ns()
        told = self.drafting.counts.tolist()
        self.waited_ns += time.perf_counter_ns() - begin
        return np.array(told)

    def tables(self) -> np.ndarray:
        return self.table


class Early(Blocking):
    """Reads the counts on a side stream as soon as the verify is over; the drafts still run."""

    name = "event after verify"

    def record(self) -> None:
        where = self.drafting.device
        verify = lambda: self.drafting.verify(self.positions, self.slot_mapping)  # noqa: E731
        self.verify = device.graph(verify, where)
        self.draft = device.graph(self.drafting.draft, where)
        self.aside = device.stream(where)
        self.verified, self.returned = device.Event(where), device.Event(where)
        rows = self.drafting.shape.rows
        self.told = torch.zeros(rows, dtype=torch.int32, pin_memory=where != "cpu")

    def run(self) -> np.ndarray:
        self.verify()
        self.verified.record()
        with device.on(self.aside):
            self.verified.hold()
            self.told.copy_(self.drafting.counts, non_blocking=True)
            self.returned.record()
        self.draft()
        begin = time.perf_counter_ns()
        self.returned.synchronize()
        self.waited_ns += time.perf_counter_ns() - begin
        return self.told.numpy().astype(np.int64)


class Optimistic(Counting):
    """Our loop: the host never waits for counts, the device corrects what it prepared."""

    def __init__(self, drafting: Drafting, lag: int) -> None:
        super().__init__(drafting)
        self.name = f"ours, lag {lag}"
        shape = drafting.shape
        self.loop = mp.Loop(
            rows=shape.rows,
            page=PAGE,
            pages=drafting.pages,
            longest=drafting.longest,
            drafts=shape.drafts,
            lag=lag,
            device=drafting.device,
            buckets=(shape.rows,),
        )
        self.loop.capture(self.forward, counted=True)
        self.requests: list[mp.Request] = []
        self.watching = False
        """Whether each launch looks how far the host's upper bound is from the truth."""

    def forward(self, batch: mp.Batch) -> mp.Sampled:
        counts = self.drafting.verify(batch.positions, batch.slot_mapping)
        self.drafting.draft()
        return mp.Sampled(batch.positions + 1, counts=counts)  # a token says where it belongs

    def start(self) -> None:
        for request in self.requests:
            self.loop.finish(request)
        self.loop.drain()
        self.drafting.reset()
        self.told: dict[int, list[int]] = {}
        self.requests, self.steps, self.above = [], 0, [0, 0]
        for key, length in enumerate(self.drafting.first.tolist()):
            most = self.drafting.longest - length
            self.requests.append(self.loop.admit(length=length, token=0, most=most, key=key))
            self.told[key] = []

    def step(self) -> None:
        device.busy(self.host_us)
        if self.watching:
            above = self.loop.host.upper - self.drafting.lengths(self.steps)
            self.above = [min(self.above[0], above.min()), max(self.above[1], above.max())]
        self.steps += 1
        self.take(self.loop.step())

    def take(self, produced: Iterable[tuple[mp.Request, list[int], bool]]) -> None:
        for request, tokens, _ in produced:
            self.told[request.key].extend(tokens)

    def stop(self) -> None:
        for produced in self.loop.drain():
            self.take(produced)

    def tables(self) -> np.ndarray:
        made = np.zeros((self.drafting.shape.rows, self.drafting.width), np.int32)
        for request in self.requests:
            made[request.row, : len(request.pages)] = request.pages
        return made

    def wrong(self, steps: int) -> list[str]:
        """Also: a host bound outside its contract, a raised flag, tokens that are not the accepted ones."""
        found = super().wrong(steps)
        low, high = self.above
        if low < 0 or high > self.loop.bounds.slack:
            found.append(
                f"upper bound {low} to {high} above the truth, 0 to {self.loop.bounds.slack}"
            )
        if flags := self.loop.flags():
            found.append(f"flags {flags}")
        for key, tokens in self.told.items():
            due = range(self.drafting.first[key] + 1, int(self.drafting.lengths(steps)[key]) + 1)
            if tokens != list(due):
                found.append(
                    f"request {key} was told {len(tokens)} tokens, not {len(due)} in order"
                )
        return found
