# pyright: basic
"""Who carries what the device made to the host, beside what is queued next: torch, or the driver with less in between."""

from __future__ import annotations

from ctypes import c_void_p
from typing import TYPE_CHECKING, Protocol

from metaplan.runtime import driver as drivers
from metaplan.runtime.streams import raw_stream

if TYPE_CHECKING:
    import torch


class Fetch(Protocol):
    """Slots of one tensor on the device, each with its place in pinned memory."""

    def queue(self, slot: int, count: int) -> None:
        """Fetches the first ``count`` bytes of a slot when all that is queued on the current stream is done."""
        ...

    def wait(self, slot: int) -> None:
        """Until what was queued last for a slot is there."""
        ...


def fetch_for(source: torch.Tensor, target: torch.Tensor) -> Fetch | None:
    """From ``source`` to ``target``, both [slots, ...] and contiguous; None where they are the same memory."""
    import torch

    if source.device.type == "cpu":
        return None
    if torch.version.hip is not None or drivers.load() is None:
        return Torch(source, target)
    return Driver(source, target)


class Torch:
    """tensor.copy_ on a stream of its own, and torch's events."""

    def __init__(self, source: torch.Tensor, target: torch.Tensor) -> None:
        import torch

        self._bytes = tuple(t.view(len(t), -1).view(torch.uint8) for t in (source, target))
        self._device = source.device
        self._stream = torch.cuda.Stream(source.device)
        self._made = [torch.cuda.Event() for _ in source]
        self._there = [torch.cuda.Event() for _ in source]

    def queue(self, slot: int, count: int) -> None:
        import torch

        source, target = self._bytes
        self._made[slot].record(torch.cuda.current_stream(self._device))
        self._stream.wait_event(self._made[slot])
        with torch.cuda.stream(self._stream):
            target[slot, :count].copy_(source[slot, :count], non_blocking=True)
        self._there[slot].record(self._stream)

    def wait(self, slot: int) -> None:
        self._there[slot].synchronize()


class Driver:
    """The same through cuMemcpyDtoHAsync: some microseconds of a step in which the host has others to spend."""

    def __init__(self, source: torch.Tensor, target: torch.Tensor) -> None:
        import torch

        loaded = drivers.load()
        assert loaded is not None, "no CUDA driver on this machine"
        self._driver, self._held = loaded, (source, target)
        self._context = loaded.context(source.device)
        self._index = source.device.index
        if self._index is None:
            self._index = torch.cuda.current_device()
        self._raw = raw_stream()
        self._stream = torch.cuda.Stream(source.device)
        self._apart = source[0].numel() * source.element_size()
        with torch.cuda.device(source.device):
            self._made: list[c_void_p] = [loaded.event() for _ in source]
        # Waits stay torch's, where an audit sees them.
        self._there = [torch.cuda.Event() for _ in source]

    def queue(self, slot: int, count: int) -> None:
        asked = (slot, count, self._raw(self._index))
        if code := self._queued(*asked):
            self._driver.again(
                code, self._context, lambda: self._queued(*asked), "cuMemcpyDtoHAsync"
            )
        self._there[slot].record(self._stream)

    def _queued(self, slot: int, count: int, stream: int) -> int:
        """The first error, 0 if there is none; to queue it once more does no harm."""
        driver, beside = self._driver, self._stream.cuda_stream
        source, target = (t.data_ptr() + slot * self._apart for t in self._held)
        return (
            driver.record(self._made[slot], stream)
            or driver.hold(beside, self._made[slot], 0)
            or driver.fetch(target, source, count, beside)
        )

    def wait(self, slot: int) -> None:
        self._there[slot].synchronize()
