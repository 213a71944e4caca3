# pyright: basic
"""What a region asked torch for while it ran: waits, pageable copies, allocations, with the line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TORCH = ("/torch/", "/contextlib.py", "/warnings.py")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a region must not do: its kind, the call, and the caller's line if known."""

    kind: str
    call: str
    where: str = ""
    count: int = 1

    def __str__(self) -> str:
        times = f" x{self.count}" if self.count > 1 else ""
        return f"{self.kind}: {self.call}{times}" + (f" at {self.where}" if self.where else "")


@contextmanager
def watch(found: list[Finding]) -> Iterator[None]:
    """Appends to ``found`` what torch was asked to do in the region.

    Three sources: torch's own warnings of synchronizing calls, its synchronize methods (wrapped for
    the time of the region), and the dispatch of copies between the device and pageable memory.
    """
    import torch

    before = _driver_calls()
    with ExitStack() as stack, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        stack.enter_context(_debug_mode())
        for owner, name in (
            (torch.cuda, "synchronize"),
            (torch.cuda.Event, "synchronize"),
            (torch.cuda.Stream, "synchronize"),
        ):
            stack.enter_context(_wrapped(owner, name, found))
        stack.enter_context(_copies(found))
        yield
    for told in seen:
        if "synchronizing CUDA operation" in str(told.message):
            place = f"{Path(told.filename).name}:{told.lineno}"
            if not any(("wait", place) == (one.kind, one.where) for one in found):
                found.append(Finding("wait", "a synchronizing torch operation", place))
        elif "Synchronization debug mode" not in str(told.message):
            warnings.warn_explicit(told.message, told.category, told.filename, told.lineno)
    for name, count in _driver_calls().items():
        if made := count - before.get(name, 0):
            found.append(Finding("allocation", name, count=made))


@contextmanager
def _debug_mode() -> Iterator[None]:
    import torch

    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _wrapped(owner: Any, name: str, found: list[Finding]) -> Iterator[None]:
    """Notes each call of ``owner.name``, which still does its work."""
    original: Callable[..., Any] = getattr(owner, name)
    inherited = name not in vars(owner)
    label = f"{owner.__name__}.{name}"

    def noting(*arguments: Any, **keywords: Any) -> Any:
        found.append(Finding("wait", label, caller()))
        return original(*arguments, **keywords)

    setattr(owner, name, noting)
    try:
        yield
    finally:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


@contextmanager
def _copies(found: list[Finding]) -> Iterator[None]:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if (told := crossing(func, args, out)) is not None:
                found.append(Finding(*told, caller()))
            return out

    with Copies():
        yield


def crossing(func: Any, args: Any, out: Any) -> tuple[str, str] | None:
    """The kind and name of an operation that takes pageable memory to the device, or anything back."""
    name = getattr(func, "__name__", str(func)).partition(".")[0]
    if name == "_local_scalar_dense" and args[0].is_cuda:
        return "wait", "item()"
    if name not in ("copy_", "_to_copy") or not hasattr(out, "is_cuda"):
        return None
    source = args[1] if name == "copy_" else args[0]
    if source.is_cuda == out.is_cuda:
        return None
    host = out if source.is_cuda else source
    if host.numel() == 0 or host.is_pinned():
        return None
    return "pageable copy", "device to host" if source.is_cuda else "host to device"


def caller() -> str:
    """The nearest line outside torch and this package, as file.py:12."""
    frame = sys._getframe(1)
    own = str(Path(__file__).parent)
    while frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith(own) and not any(part in file for part in _TORCH):
            break
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _driver_calls() -> dict[str, int]:
    """How often torch's allocator has gone to the driver so far, by what it asked."""
    import torch

    stats = torch.cuda.memory_stats()
    named = {
        "num_device_alloc": "cudaMalloc by torch's allocator",
        "num_device_free": "cudaFree by torch's allocator",
        "num_sync_all_streams": "cudaDeviceSynchronize by torch's allocator",
    }
    return {label: int(stats.get(key, 0)) for key, label in named.items()}
