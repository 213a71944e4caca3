# pyright: basic
"""What a region asked torch for while it ran: waits, pageable copies, allocations, with the line."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from metaplan.auditing.finding import ALLOCATION, PAGEABLE, WAIT, Finding
from metaplan.auditing.stack import stack


@contextmanager
def watch(found: list[Finding]) -> Iterator[None]:
    """Appends to ``found`` what torch was asked to do in the region.

    Three sources: torch's own warnings of synchronizing calls, its synchronize methods (wrapped for
    the time of the region), and the dispatch of copies between the device and pageable memory.
    """
    import torch

    before = _driver_calls()
    with ExitStack() as opened, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        opened.enter_context(debug_mode())
        for owner, name in (
            (torch.cuda, "synchronize"),
            (torch.cuda.Event, "synchronize"),
            (torch.cuda.Stream, "synchronize"),
        ):
            opened.enter_context(_wrapped(owner, name, found))
        opened.enter_context(_copies(found))
        yield
    for told in seen:
        if "synchronizing CUDA operation" in str(told.message):
            place = f"{Path(told.filename).name}:{told.lineno} "
            if not any(
                one.kind == WAIT and "".join(one.stack[:1]).startswith(place) for one in found
            ):
                found.append(Finding(WAIT, "a synchronizing torch operation", (place.strip(),)))
        elif "Synchronization debug mode" not in str(told.message):
            warnings.warn_explicit(told.message, told.category, told.filename, told.lineno)
    for name, count in _driver_calls().items():
        if made := count - before.get(name, 0):
            found.append(Finding(ALLOCATION, name, count=made))


@contextmanager
def debug_mode() -> Iterator[None]:
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
        start = time.perf_counter()
        try:
            return original(*arguments, **keywords)
        finally:
            took = (time.perf_counter() - start) * 1e6
            found.append(Finding(WAIT, label, stack(), us=took))

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
            start = time.perf_counter()
            out = func(*args, **(kwargs or {}))
            if (told := crossing(func, args, out)) is not None:
                took = (time.perf_counter() - start) * 1e6
                found.append(Finding(*told, stack(), us=took))
            return out

    with Copies():
        yield


def crossing(func: Any, args: Any, out: Any) -> tuple[str, str] | None:
    """The kind and name of an operation that takes pageable memory to the device, or anything back."""
    name = getattr(func, "__name__", str(func)).partition(".")[0]
    if name == "_local_scalar_dense" and args[0].is_cuda:
        return WAIT, "item()"
    if name not in ("copy_", "_to_copy") or not hasattr(out, "is_cuda"):
        return None
    source = args[1] if name == "copy_" else args[0]
    if source.is_cuda == out.is_cuda:
        return None
    host = out if source.is_cuda else source
    if host.numel() == 0 or host.is_pinned():
        return None
    return PAGEABLE, "device to host" if source.is_cuda else "host to device"


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
