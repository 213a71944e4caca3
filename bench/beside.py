# pyright: basic
"""A peer at full size on the GPU: our step and the engine's own code, each on inputs and buffers of its own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import metaplan as mp
from bench import measure
from bench.measure import Call, Counts
from metaplan.ir import Home
from tests.peers.peer import Peer, Theirs, differences
from tests.running import garbage_buffers

Row = dict[str, Any]
LAG = 220  # a long queue is measured, not a wait for its slots
STAGED = 1 << 28  # bytes of all slots together at most
QUEUED = 800  # launches that the driver takes without waiting for the GPU
COUNTS = {
    "launches": "kernels",
    "host_to_device": "host_to_device",
    "device_to_host": "device_to_host",
    "device_to_device": "device_to_device",
    "memsets": "memsets",
    "pageable": "pageable",
    "synchronizations": "synchronizations",
    "allocations": "allocations",
}


def exact(sizes: Mapping[str, int], live: Mapping[str, int]) -> dict[str, int]:
    """``sizes``, where those of full axes never change."""
    return {n: mp.exactly(size) if live.get(n) == size else size for n, size in sizes.items()}


class Beside:
    """Both sides of a peer on the batch that ``Peer.bench`` gives.

    What our plan takes from the host is staged from NumPy arrays. Its numbers (live sizes and scalars) lie
    on the device, unless something is staged anyway or ``bind`` is told otherwise. An axis that is full is so at
    every step (``mp.exactly``), as for an engine whose launch says how many requests there are; with ``live`` its
    number is read from the device all the same.
    """

    def __init__(
        self, peer: Peer, requests: int, query: int, device: str = "cuda", *, live: bool = False
    ) -> None:
        self.peer, self.device = peer, device
        setup, self.batch = peer.bench(requests, query)
        declared = setup.declare()
        self.arrays = {i.name: self.batch.inputs[i.name] for i in declared.ir.inputs if i.dims}
        hosted = {i.name for i in declared.ir.inputs if i.dims and i.home is Home.HOST}
        self.hosted = {n: x for n, x in self.arrays.items() if n in hosted}
        staged = sum(x.nbytes for x in self.hosted.values())
        self.lag = max(min(LAG, STAGED // max(staged, 1)), 1)
        self.sizes = dict(setup.sizes) if live else exact(setup.sizes, self.batch.live)
        self.step: Any = declared.compile(device=device, lag=self.lag, **self.sizes)
        plan = self.step.built.bound
        self.before = {n: self._tensor(b) for n, b in garbage_buffers(plan, 5).items()}
        self.tensors = {n: self._tensor(x) for n, x in self.arrays.items() if n not in hosted}
        self.states = [i.name for i in plan.inputs if i.state]
        scalars = {i.name: self.batch.inputs[i.name] for i in plan.inputs if not i.dims}
        self.numbers = {n: int(x) for n, x in {**scalars, **self.batch.live}.items()}
        types = {i.name: i.dtype.value for i in plan.inputs}
        self.placed = {
            n: torch.tensor([x], dtype=getattr(torch, types.get(n, "int32")), device=device)
            for n, x in self.numbers.items()
        }
        self.staged = bool(self.hosted) or self._short()
        self.bind()

    def _short(self) -> bool:
        """Whether arrays have only the live rows: then the step must hear from the host how many those are."""
        slots = self.step.arguments
        return any(
            slots[n].roots[:1] == (True,) and len(x) < slots[n].capacity[0]
            for n, x in self.tensors.items()
        )

    def _tensor(self, value: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(value)).to(self.device)

    def bind(self, *, from_host: bool = False) -> None:
        """Our side's inputs; its numbers on the device, or given by the host at every call."""
        numbers = self.numbers if from_host or self.staged else self.placed
        asked = {n: x for n, x in numbers.items() if n in self.step.arguments}
        self.step.bind(**self.tensors, **self.hosted, **asked)

    def reset(self) -> None:
        """Our buffers and states as they were before any step."""
        for name, buffer in self.before.items():
            self.step.outputs[name].view(buffer.shape).copy_(buffer)
        for name in self.states:
            self.tensors[name].copy_(self._tensor(self.arrays[name]))

    def theirs(self) -> Theirs:
        """The engine's code, as before any step."""
        given = {
            n: self._tensor(x) if isinstance(x, np.ndarray) else x
            for n, x in self.batch.inputs.items()
        }
        before = {n: b.clone() for n, b in self.before.items()}
        return self.peer.theirs(self.batch, given, before, self.device)

    def wrong(self) -> list[str]:
        """Where our cells differ from the engine's after one step of both; the promises that the batch broke."""
        self.reset()
        run = self.theirs()
        self.step()
        run.call()
        measure.synchronize()
        found = {**self.step.outputs, **{n: self.tensors[n] for n in self.states}}
        ours = {n: x.cpu().numpy() for n, x in found.items()}
        broken = [f"broken promise: {words}" for words in self.step.flags()]
        return broken + differences(ours, run.read())

    # ------------------------------------------------------------ what is measured

    def counts(self) -> Row:
        """What a call of each side asks of the device and of the driver."""
        self.reset()
        ours = _told(measure.counts(self.step))
        theirs = _told(measure.counts(self.theirs().call))
        return {"ours": ours, "theirs": theirs}

    def times(self, launches: int) -> Row:
        """CPU us of a call of each side, and GPU us where both can be recorded in a graph.

        ``launches`` is how many the engine makes: no more calls are queued than the driver takes.
        """
        row: Row = {"ours": {}, "theirs": {}}
        measure.awake()
        row["theirs"]["cpu_us"] = self._cpu_us(self.theirs().call, launches)
        self.reset()
        measure.awake()
        row["ours"]["cpu_us"] = self._cpu_us(self.step, 2)
        if not self.staged and self.numbers.keys() & self.step.arguments.keys():
            self.reset()
            self.bind(from_host=True)
            row["ours"]["cpu_us_host"] = self._cpu_us(self.step, 2)
            self.bind()
        run = self.theirs()
        if run.captured:
            row |= self._recorded(row, run)
        return row

    def _recorded(self, row: Row, run: Theirs) -> Row:
        """GPU us of both sides, each in a graph of many calls; an engine's call that no graph takes is told."""
        calls = 15 if self.states else 40
        self.reset()
        if self.staged:
            self.step.stage()
        measure.awake()
        ours = measure.graph_us(self.step.emit, calls, 11)
        measure.awake()
        try:
            theirs = measure.graph_us(run.call, calls, 11)
        except RuntimeError as error:
            return {"not_recorded": " ".join(str(error).split())[:200]}
        sides = {"ours": ours, "theirs": theirs}
        found: Row = {n: row[n] | {"gpu_us": round(us, 3)} for n, us in sides.items()}
        return found | {"gpu_by": "graph"}

    def events(self) -> Row:
        """GPU us of both sides as the sum of their kernels, copies and memsets; gaps between them do not count."""
        calls = 15 if self.states else 20
        self.reset()
        measure.awake()
        ours = measure.counts(self.step, calls).device_us
        run = self.theirs()
        measure.awake()
        theirs = measure.counts(run.call, calls).device_us
        return {"ours": {"gpu_us": ours}, "theirs": {"gpu_us": theirs}, "gpu_by": "events"}

    def _cpu_us(self, call: Call, launches: int) -> float:
        """Some milliseconds of calls, but none that queue more than the driver takes."""
        call()
        measure.synchronize()
        begin = time.perf_counter()
        call()
        took = time.perf_counter() - begin
        most = min(60 if self.states else 200, QUEUED // max(launches, 1), self.lag)
        calls = max(min(most, int(0.02 / max(took, 1e-6))), 2)
        return round(measure.cpu_us(call, calls, 7, min(calls, 10)), 2)

    def close(self) -> None:
        self.step.close()


def _told(counts: Counts) -> Row:
    return {name: getattr(counts, field) for name, field in COUNTS.items()}
