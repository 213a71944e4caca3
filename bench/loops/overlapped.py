# pyright: basic
"""The asynchronous loop of Hugging Face's continuous batching: two buffer pairs, three streams, one step late.

The shape of ``ContinuousBatchingAsyncIOs`` (transformers, generation/continuous_batching/input_outputs.py): while the
GPU computes step n on one pair, the host prepares step n + 1 in the other; tokens that the host has not seen yet are
carried over on the device by the first node of the graph; the host's only wait is for the tokens of step n - 1.
"""

from __future__ import annotations

import numpy as np
import torch
import triton

from bench.loops import device, kernels
from bench.loops.fields import Fields
from bench.loops.requests import Requests
from bench.loops.sides import Side, Work


class Pair:
    """The same fields in pinned memory and on the device, and what has to have happened to them."""

    def __init__(self, work: Work, width: int) -> None:
        self.device = Fields(work.rows, width, work.device)
        self.host = Fields(work.rows, width, "cpu", pinned=work.device != "cpu")
        self.sent, self.computed, self.returned = (device.Event(work.device) for _ in range(3))
        self.keys: list[int | None] = []


class Overlapped(Side):
    """A graph a pair; copies in, compute and copies out on a stream each."""

    name = "async, two pairs"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.requests = Requests(work.traffic, work.page, work.pages)
        width = self.requests.table.shape[1]
        self.pairs = [Pair(work, width) for _ in range(2)]
        self.block = triton.next_power_of_2(work.rows)
        self.replays = [device.graph(lambda i=i: self.forward(i), work.device) for i in range(2)]
        self.copy_in, self.compute, self.copy_out = (device.stream(work.device) for _ in range(3))
        self.rows = np.arange(work.rows, dtype=np.int32)
        self.turn, self.pending = 0, False

    def forward(self, turn: int) -> None:
        own, other = self.pairs[turn].device, self.pairs[1 - turn].device
        kernels.carry_over[(1,)](
            own.input_ids, other.sampled, own.carry, self.work.rows, self.block
        )
        own.sampled.copy_(self.work.model(*own.model_inputs()))

    def start(self) -> None:
        self.requests = Requests(self.work.traffic, self.work.page, self.work.pages)
        self.turn, self.pending = 0, False
        if self.compute is not None:
            # The prompts go into a cache that others used before, on another stream.
            self.compute.wait_stream(torch.cuda.current_stream())

    def step(self) -> None:
        self.host_work()
        pair, before = self.pairs[self.turn], self.pairs[1 - self.turn]
        begun = self.requests.schedule()
        self.fill(pair.host)
        with device.on(self.copy_in):
            pair.device.block.copy_(pair.host.block, non_blocking=True)
            pair.sent.record()
        with device.on(self.compute):
            for row, prompt in begun:
                self.prefill(prompt, self.requests.pages(row))
            pair.sent.hold()
            self.replays[self.turn]()
            pair.computed.record()
        with device.on(self.copy_out):
            pair.computed.hold()
            pair.host.sampled.copy_(pair.device.sampled, non_blocking=True)
            pair.returned.record()
        pair.keys = self.requests.advance()
        if self.pending:
            self.take(before)
        self.turn, self.pending = 1 - self.turn, True

    def fill(self, host: Fields) -> None:
        """The token of a row that goes on is still on the device: the row of the step before."""
        host.fill(self.requests)
        carry = host.carry.numpy()
        carry[:] = self.rows
        carry[list(self.requests.fresh)] = -1

    def take(self, pair: Pair) -> None:
        pair.returned.synchronize()
        self.requests.commit(pair.host.sampled.tolist(), pair.keys)

    def stop(self) -> None:
        if self.pending:
            self.take(self.pairs[1 - self.turn])
        self.pending = False
        device.synchronize(self.compute)

    @property
    def tokens(self) -> dict[int, list[int]]:
        return self.requests.tokens
