# pyright: basic
"""Our decode loop: the state of every request on the device, metadata and its update inside the model's graph."""

from __future__ import annotations

from collections.abc import Iterable

import torch

import metaplan as mp
from bench.loops.requests import Prompt
from bench.loops.sides import Side, Work


class Inside(Side):
    """``mp.Loop`` as its users write it."""

    name = "ours, in the graph"
    lag = 1

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.loop = mp.Loop(
            rows=work.rows,
            page=work.page,
            pages=work.pages,
            longest=work.traffic.longest,
            lag=self.lag,
            device=work.device,
            buckets=(work.rows,),
        )
        self.capture()
        self.told: dict[int, list[int]] = {}
        self.running: dict[int, mp.Request] = {}
        self.next = 0

    def capture(self) -> None:
        self.loop.capture(self.forward)

    def forward(self, batch: mp.Batch) -> torch.Tensor:
        return self.work.model(
            batch.input_ids,
            batch.positions,
            batch.slot_mapping,
            batch.seq_lens,
            batch.block_table,
            out=batch.samples,
        )

    def start(self) -> None:
        for request in self.running.values():
            self.loop.finish(request)
        self.loop.drain()
        self.told, self.running, self.next = {}, {}, 0

    def step(self) -> None:
        self.host_work()
        prompt = self.work.traffic.prompt(self.next)
        while self.loop.fits(prompt.length, prompt.most):
            self.admit(prompt)
            prompt = self.work.traffic.prompt(self.next)
        self.take(self.loop.step())

    def admit(self, prompt: Prompt) -> None:
        self.next += 1
        request = self.loop.admit(
            length=prompt.length, token=prompt.token, most=prompt.most, key=prompt.key
        )
        self.prefill(prompt, request.pages)
        self.running[prompt.key], self.told[prompt.key] = request, []

    def take(self, produced: Iterable[tuple[mp.Request, list[int], bool]]) -> None:
        for request, tokens, ended in produced:
            self.told[request.key].extend(tokens)
            if ended:
                del self.running[request.key]

    def stop(self) -> None:
        for produced in self.loop.drain():
            self.take(produced)

    @property
    def tokens(self) -> dict[int, list[int]]:
        return self.told


class Later(Inside):
    """The same, two steps ahead: a step in which the host has more to do than the GPU takes makes nobody wait."""

    name = "ours, two steps late"
    lag = 2


class Beside(Inside):
    """The same, and what the next step needs of counts alone is written beside the end of this one."""

    name = "ours, beside the model"

    def capture(self) -> None:
        self.loop.capture(self.released, overlap=True, dependent=True)

    def released(self, batch: mp.Batch) -> torch.Tensor:
        return self.work.model(
            batch.input_ids,
            batch.positions,
            batch.slot_mapping,
            batch.seq_lens,
            batch.block_table,
            batch.release,
            out=batch.samples,
        )
