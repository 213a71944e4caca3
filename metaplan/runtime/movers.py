# pyright: basic
"""Who carries a staging slot to the device: plain memory, torch, the driver, or a kernel."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_void_p
from functools import partial
from typing import TYPE_CHECKING, Any

from metaplan.runtime import driver as drivers
from metaplan.runtime.staging import Mover
from metaplan.runtime.streams import raw_stream, stream_at

if TYPE_CHECKING:
    import numpy

APART = 256
"""Slots begin at multiples of this many bytes, so that none shares a line with another."""


INLINE = 1024
"""Bytes up to which a copy between kernels is cheaper than a kernel that fetches. On an H200,
bench/launch.py, copy or fetch together with the kernel behind it: 3.9 or 5.1 us of device time for
1 KB, 12.5 or 5.2 for 4 KB, 12.6 or 5.6 for 16 KB, 14.6 or 7.2 for 64 KB."""


def mover_for(device: Any) -> Callable[[int, int, int], Mover]:
    """The carrier that measures best on ``device``, to be made by the ring for its sizes."""
    import torch

    if torch.device(device).type == "cpu":
        return Plain
    if torch.version.hip is not None or drivers.load() is None:
        return partial(Torch, device=device)
    return partial(_cheapest, device=device)


class Plain:
    """No device: the block is CPU memory and a copy is done when it returns."""

    def __init__(self, slots: int, size: int, groups: int) -> None:
        self._tensors, self.memories, self.addresses = _slots(slots, size, pinned=False)
        self.block, self.base = _block(size, "cpu")

    def stream(self) -> int:
        return 0

    def copy(self, slot: int, stream: int) -> None:
        self.block.numpy()[:] = self.memories[slot]

    def mark(self, group: int, stream: int) -> None:
        pass

    def done(self, group: int) -> bool:
        return True

    def wait(self, group: int) -> None:
        pass


class Torch:
    """tensor.copy_ and torch's events: works wherever torch has a GPU."""

    def __init__(self, slots: int, size: int, groups: int, *, device: Any) -> None:
        import torch

        self._device = torch.device(device)
        self._tensors, self.memories, self.addresses = _slots(slots, size, pinned=True)
        self.block, self.base = _block(size, self._device)
        self._marks: list[list[Any]] = [[] for _ in range(groups)]

    def stream(self) -> int:
        import torch

        return torch.cuda.current_stream(self._device).cuda_stream

    def copy(self, slot: int, stream: int) -> None:
        self.block.copy_(self._tensors[slot], non_blocking=True)

    def mark(self, group: int, stream: int) -> None:
        import torch

        event = torch.cuda.Event()
        event.record(stream_at(stream, self._device))
        self._marks[group].append(event)

    def done(self, group: int) -> bool:
        if all(event.query() for event in self._marks[group]):
            self._marks[group].clear()
            return True
        return False

    def wait(self, group: int) -> None:
        for event in self._marks[group]:
            event.synchronize()
        self._marks[group].clear()


class Driver:
    """cuMemcpyHtoDAsync and the driver's events: the same copy without torch's dispatch."""

    def __init__(self, slots: int, size: int, groups: int, *, device: Any) -> None:
        import torch

        loaded = drivers.load()
        assert loaded is not None, "no CUDA driver on this machine"
        self._driver, self._size = loaded, size
        self._device = torch.device(device)
        self._index = (
            torch.cuda.current_device() if self._device.index is None else self._device.index
        )
        self._tensors, self.memories, self.addresses = _slots(slots, size, pinned=True)
        self.block, self.base = _block(size, self._device)
        self._context = loaded.context(self._device)
        with torch.cuda.device(self._device):
            self._spare = [loaded.event() for _ in range(groups + 1)]
        self._marks: list[list[c_void_p]] = [[] for _ in range(groups)]
        self._raw = raw_stream()

    def stream(self) -> int:
        return self._raw(self._index)

    def copy(self, slot: int, stream: int) -> None:
        asked = (self.base, self.addresses[slot], self._size, stream)
        if code := self._driver.copy(*asked):
            self._again(code, lambda: self._driver.copy(*asked), "cuMemcpyHtoDAsync")

    def mark(self, group: int, stream: int) -> None:
        event = self._spare.pop() if self._spare else self._driver.event()
        if code := self._driver.record(event, stream):
            self._again(code, lambda: self._driver.record(event, stream), "cuEventRecord")
        self._marks[group].append(event)

    def done(self, group: int) -> bool:
        marks = self._marks[group]
        for event in marks:
            if code := self._driver.query(event):
                if code != drivers.NOT_READY:
                    self._driver.fail(code, "cuEventQuery")
                return False
        self._spare.extend(marks)
        marks.clear()
        return True

    def wait(self, group: int) -> None:
        for event in self._marks[group]:
            self._driver.check(self._driver.wait(event), "cuEventSynchronize")
        self.done(group)

    def _again(self, code: int, call: Any, what: str) -> None:
        self._driver.again(code, self._context, call, what)


def _cheapest(slots: int, size: int, groups: int, *, device: Any) -> Mover:
    if size <= INLINE:
        return Driver(slots, size, groups, device=device)
    from metaplan.runtime.pull import Pull

    return Pull(slots, size, groups, device=device)


def _slots(
    slots: int, size: int, *, pinned: bool
) -> tuple[list[Any], list[numpy.ndarray], tuple[int, ...]]:
    """Slots of ``size`` bytes in one allocation: as tensors, as NumPy views, and their addresses."""
    import torch

    apart = (size + APART - 1) // APART * APART
    own = torch.zeros(apart * slots + APART, dtype=torch.uint8, pin_memory=pinned)
    first = -own.data_ptr() % APART
    tensors = [own[first + apart * i : first + apart * i + size] for i in range(slots)]
    return tensors, [one.numpy() for one in tensors], tuple(one.data_ptr() for one in tensors)


def _block(size: int, device: Any) -> tuple[Any, int]:
    """The device block: uint8[size] at an address that is a multiple of APART."""
    import torch

    own = torch.zeros(size + APART, dtype=torch.uint8, device=device)
    first = -own.data_ptr() % APART
    block = own[first : first + size]
    return block, block.data_ptr()
