# pyright: basic
"""A point of one stream for which another waits: torch's events, or the driver's with less in between."""

from __future__ import annotations

from ctypes import c_void_p
from typing import Any, Protocol

from metaplan.runtime import driver as drivers
from metaplan.runtime.streams import stream_at


class Mark(Protocol):
    """Streams are addresses, as ``raw_stream`` reads them."""

    def record(self, stream: int) -> None:
        """The point lies behind all that is queued on ``stream`` now."""
        ...

    def hold(self, stream: int) -> None:
        """What is queued on ``stream`` from now on waits for the point that was recorded last, if there is one."""
        ...


def mark_for(device: Any) -> Mark:
    """What costs the host least on ``device``, a GPU."""
    import torch

    if torch.version.hip is not None or drivers.load() is None:
        return Torch(device)
    return Driver(device)


class Torch:
    """An event of torch."""

    def __init__(self, device: Any) -> None:
        import torch

        self._device, self._event = device, torch.cuda.Event()

    def record(self, stream: int) -> None:
        self._event.record(stream_at(stream, self._device))

    def hold(self, stream: int) -> None:
        stream_at(stream, self._device).wait_event(self._event)


class Driver:
    """An event of the driver: on an H200 torch takes 20 us to record one that has not been for a while, this 2."""

    def __init__(self, device: Any) -> None:
        import torch

        loaded = drivers.load()
        assert loaded is not None, "no CUDA driver on this machine"
        self._driver, self._context = loaded, loaded.context(device)
        with torch.cuda.device(device):
            self._event: c_void_p = loaded.event()

    def record(self, stream: int) -> None:
        driver, event = self._driver, self._event
        if code := driver.record(event, stream):
            driver.again(code, self._context, lambda: driver.record(event, stream), "cuEventRecord")

    def hold(self, stream: int) -> None:
        driver, event = self._driver, self._event
        if code := driver.hold(stream, event, 0):
            driver.again(
                code, self._context, lambda: driver.hold(stream, event, 0), "cuStreamWaitEvent"
            )
