# pyright: basic
"""The few functions of the CUDA driver that a step needs, through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import Structure, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import lru_cache
from typing import Any, NoReturn

from metaplan.errors import MetaplanError

WRONG_CONTEXT = (201, 400, 709)
"""Errors of a thread in which another context, or none, is current."""
NOT_READY = 600
CAPTURING = range(900, 908)
"""Errors of calls that a capture of the stream does not allow."""


class LaunchAttribute(Structure):
    """CUlaunchAttribute: its number, and its value in the first of 64 bytes."""

    _fields_: Sequence[tuple[str, Any]] = [
        ("number", c_uint),
        ("padding", c_uint),
        ("value", c_uint),
        ("rest", c_uint * 15),
    ]


DEPENDENT = LaunchAttribute(number=6, value=1)
"""CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION."""


class LaunchConfig(Structure):
    """CUlaunchConfig."""

    _fields_: Sequence[tuple[str, Any]] = [
        *((name, c_uint) for name in ("grid_x", "grid_y", "grid_z")),
        *((name, c_uint) for name in ("block_x", "block_y", "block_z", "shared")),
        ("stream", c_void_p),
        ("attributes", c_void_p),
        ("attribute_count", c_uint),
    ]


class KernelNode(Structure):
    """CUDA_KERNEL_NODE_PARAMS_v2."""

    _fields_: Sequence[tuple[str, Any]] = [
        ("function", c_void_p),
        *((name, c_uint) for name in ("grid_x", "grid_y", "grid_z")),
        *((name, c_uint) for name in ("block_x", "block_y", "block_z", "shared")),
        *((name, c_void_p) for name in ("parameters", "extra", "kernel", "context")),
    ]


class _Side(Structure):
    _fields_: Sequence[tuple[str, Any]] = [
        *((name, c_size_t) for name in ("x", "y", "z", "level")),
        ("kind", c_uint),
        ("host", c_void_p),
        ("device", c_uint64),
        *((name, c_void_p) for name in ("array", "reserved")),
        *((name, c_size_t) for name in ("pitch", "rows")),
    ]


class Copy(Structure):
    """CUDA_MEMCPY3D."""

    _fields_: Sequence[tuple[str, Any]] = [
        ("source", _Side),
        ("target", _Side),
        *((name, c_size_t) for name in ("width", "height", "depth")),
    ]

    @classmethod
    def to_device(cls, target: int, source: int, count: int) -> Copy:
        """``count`` bytes from the host address ``source`` to the device address ``target``."""
        host = _Side(kind=1, host=source, pitch=count, rows=1)
        device = _Side(kind=2, device=target, pitch=count, rows=1)
        return cls(source=host, target=device, width=count, height=1, depth=1)


class DriverError(MetaplanError):
    """The driver refused a call; the message has its own words."""


class Driver:
    """libcuda, with a check of every result. Handles are plain integers."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.launch = library.cuLaunchKernelEx
        self.copy = library.cuMemcpyHtoDAsync_v2
        self.copy.argtypes = (c_uint64, c_void_p, c_size_t, c_void_p)
        self.fetch = library.cuMemcpyDtoHAsync_v2
        self.fetch.argtypes = (c_void_p, c_uint64, c_size_t, c_void_p)
        self.hold = library.cuStreamWaitEvent
        self.hold.argtypes = (c_void_p, c_void_p, c_uint)
        self.launch_graph = library.cuGraphLaunch
        self.launch_graph.argtypes = (c_void_p, c_void_p)
        self.record = library.cuEventRecord
        self.query = library.cuEventQuery
        self.wait = library.cuEventSynchronize
        self.record.argtypes = (c_void_p, c_void_p)
        self.query.argtypes = self.wait.argtypes = (c_void_p,)

    def check(self, code: int, what: str) -> None:
        """Raises what the driver says about ``code`` unless it is success."""
        if code:
            self.fail(code, what)

    def fail(self, code: int, what: str) -> NoReturn:
        text = c_char_p()
        self.library.cuGetErrorString(c_int(code), byref(text))
        said = (text.value or b"unknown error").decode()
        raise DriverError(f"{what} failed: {said} ({code})")

    def call(self, name: str, *arguments: Any) -> None:
        """``name(*arguments)``, checked; for everything that is not on the path of a step."""
        self.check(getattr(self.library, name)(*arguments), name)

    def context(self, device: Any) -> c_void_p:
        """The context in which torch works on ``device``."""
        import torch

        found = c_void_p()
        with torch.cuda.device(device):
            torch.cuda.current_stream().query()
            self.call("cuCtxGetCurrent", byref(found))
        return found

    def again(self, code: int, context: c_void_p, call: Any, what: str) -> None:
        """``call()`` ended with ``code``: once more in ``context`` where this thread had another, else what is wrong."""
        if code not in WRONG_CONTEXT:
            self.fail(code, what)
        self.within(context, call, what)

    def within(self, context: c_void_p, call: Any, what: str) -> None:
        """``call()`` with ``context`` current: the second try of a thread that had another."""
        self.call("cuCtxPushCurrent_v2", context)
        try:
            code = call()
        finally:
            self.call("cuCtxPopCurrent_v2", byref(c_void_p()))
        self.check(code, what)

    def event(self) -> c_void_p:
        """A new event without timing."""
        made = c_void_p()
        self.call("cuEventCreate", byref(made), c_uint(2))
        return made


@lru_cache(maxsize=1)
def load() -> Driver | None:
    """The driver of this machine, or None where it has none that we can call."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
        return Driver(library)
    except (OSError, AttributeError):
        return None
