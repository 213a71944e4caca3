# pyright: basic
"""Synchronous loops: the tokens of a step are on the host before the next one is prepared."""

from __future__ import annotations

from abc import abstractmethod

import torch

from bench.loops import device
from bench.loops.fields import Fields, lists
from bench.loops.requests import Requests
from bench.loops.sides import Side, Work


class Blocking(Side):
    """One set of device buffers, one graph of the model over them."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.requests = Requests(work.traffic, work.page, work.pages)
        width = self.requests.table.shape[1]
        self.fields = Fields(work.rows, width, work.device)
        self.replay = device.graph(self.forward, work.device)

    def forward(self) -> None:
        self.fields.sampled.copy_(self.work.model(*self.fields.model_inputs()))

    def start(self) -> None:
        self.requests = Requests(self.work.traffic, self.work.page, self.work.pages)
        self.begin()

    def begin(self) -> None:
        """Requests that enter, and the passes over their prompts."""
        for row, prompt in self.requests.schedule():
            self.prefill(prompt, self.requests.pages(row))

    def step(self) -> None:
        self.host_work()
        self.begin()
        self.send()
        self.replay()
        sampled = self.read()
        self.requests.commit(sampled, self.requests.advance())

    @abstractmethod
    def send(self) -> None:
        """What the host knows of the step goes to the device."""

    @abstractmethod
    def read(self) -> list[int]:
        """The tokens of the step that was launched; waits for them."""

    def stop(self) -> None:
        pass

    @property
    def tokens(self) -> dict[int, list[int]]:
        return self.requests.tokens


class Naive(Blocking):
    """Python lists, a tensor made of each on the device, ``tolist`` of the tokens."""

    name = "sync, lists"

    def send(self) -> None:
        for name, values in lists(self.requests).items():
            made = torch.tensor(values, dtype=torch.int32, device=self.work.device)
            getattr(self.fields, name).copy_(made)

    def read(self) -> list[int]:
        return self.fields.sampled.tolist()


class Pinned(Blocking):
    """NumPy into one pinned block, one copy; the tokens come back through pinned memory."""

    name = "sync, one copy"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        width = self.requests.table.shape[1]
        self.host = Fields(work.rows, width, "cpu", pinned=work.device != "cpu")

    def send(self) -> None:
        self.host.fill(self.requests)
        self.fields.block.copy_(self.host.block, non_blocking=True)

    def read(self) -> list[int]:
        self.host.sampled.copy_(self.fields.sampled, non_blocking=True)
        device.synchronize()
        return self.host.sampled.tolist()
