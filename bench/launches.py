# pyright: basic
"""What an engine's code would ask of a GPU, counted on the CPU: launches, copies to the device, waits.

Every tensor that lies on the device in the engine is known: what was handed over, what kernels were given, what was
made with ``device=``, and all that is computed from these. A triton kernel is a launch; so is a torch operation on
known tensors, views and allocations aside. A copy between two tensors of which one is known goes to the device or comes
from it. Where the host reads a known tensor, or the size of a result depends on its cells, it waits for such a copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ALLOCATES = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_"}
SILENT = {"lift_fresh", "_pin_memory", "is_pinned", "set_", "_unsafe_view"}
READS = {"tolist", "numpy", "__array__"}
SIZED_BY_CELLS = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}
FROM_LISTS = {"tensor", "as_tensor"}


@dataclass(slots=True)
class Watch:
    """Counts since the last ``clear``; ``known`` holds the memory of tensors on the device."""

    launches: int = 0
    copies: int = 0
    waits: int = 0
    known: dict[int, torch.UntypedStorage] = field(default_factory=dict)
    paused: bool = False

    def clear(self) -> None:
        self.launches = self.copies = self.waits = 0

    def know(self, *given: Any) -> None:
        """These tensors, in whatever they are nested, lie on the device."""
        for tensor in _tensors(given):
            memory = tensor.untyped_storage()
            if memory.data_ptr():
                self.known[memory.data_ptr()] = memory  # held: another's memory has another address

    def knows(self, *given: Any) -> bool:
        return any(t.untyped_storage().data_ptr() in self.known for t in _tensors(given))

    def read(self, *, waits: bool = True) -> None:
        """The host gets cells of a known tensor."""
        self.copies += 1
        self.waits += waits

    def operation(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        """An operation of torch, seen where it is dispatched."""
        name = func.overloadpacket.__name__
        if func.is_view or name in SILENT or not self.knows(args, kwargs):
            return
        match name:
            case "_local_scalar_dense":
                self.read()
                return
            case "copy_" if not self.knows(args[0]):
                self.read(waits=not (len(args) > 2 and args[2]))
                return
            case "copy_" if not self.knows(args[1]):
                self.copies += 1
                return
        self.know(out)
        self.launches += name not in ALLOCATES
        repeats = func is torch.ops.aten.repeat_interleave.Tensor and not kwargs
        if repeats or name in SIZED_BY_CELLS or _by_mask(name, args):
            self.read()

    def called(self, name: str, args: Any, kwargs: Any, out: Any) -> Any:
        """A function of torch, seen where it is called; what it gives back."""
        if name in READS:
            if self.knows(args[0]):
                self.read()
        elif name == "cpu" and self.knows(args[0]):
            self.read()
            return self._apart(out, args[0])
        elif name == "to" and _place(args, kwargs) and not self.knows(args[0]):
            self.copies += 1
            out = self._apart(out, args[0])
            self.know(out)
        elif _made_on_device(kwargs, out) and not self.knows(args):
            self.know(out)
            self.copies += name in FROM_LISTS
            self.launches += name not in ALLOCATES | FROM_LISTS
        return out

    def _apart(self, out: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        """What a copy between host and device would be: no memory is shared."""
        if out.untyped_storage().data_ptr() != of.untyped_storage().data_ptr():
            return out
        self.paused = True
        try:
            return out.clone()
        finally:
            self.paused = False


class _Operations(TorchDispatchMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self.watch.paused:
            self.watch.operation(func, args, kwargs or {}, out)
        return out


class _Calls(TorchFunctionMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.watch.paused:
            return out
        return self.watch.called(getattr(func, "__name__", ""), args, kwargs or {}, out)


@contextlib.contextmanager
def watching() -> Iterator[Watch]:
    """Within it, what torch and triton's interpreter are asked for is counted."""
    from triton.runtime.interpreter import InterpretedFunction

    watch, plain = Watch(), InterpretedFunction.run

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> Any:
        if watch.paused or warmup:
            return plain(self, *args, grid=grid, warmup=warmup, **kwargs)
        watch.launches += 1
        watch.know(args, kwargs)
        watch.paused = True  # the interpreter's own copies
        try:
            return plain(self, *args, grid=grid, warmup=warmup, **kwargs)
        finally:
            watch.paused = False

    InterpretedFunction.run = run
    try:
        with _Operations(watch), _Calls(watch):
            yield watch
    finally:
        InterpretedFunction.run = plain


def _tensors(given: Any) -> Iterable[torch.Tensor]:
    return (x for x in tree_leaves(given) if isinstance(x, torch.Tensor))


def _by_mask(name: str, args: Any) -> bool:
    """Whether cells are chosen by a bool tensor: how many is known only after it was read."""
    if name not in ("index", "index_put_"):
        return False
    if name == "index_put_" and args[2].numel() == 1:
        return False
    return any(t is not None and t.dtype is torch.bool for t in args[1])


def _made_on_device(kwargs: Any, out: Any) -> bool:
    """Whether a function was told where to make its result, and not for the host's part of a copy."""
    told = kwargs.get("device") is not None and not kwargs.get("pin_memory")
    return told and isinstance(out, torch.Tensor)


def _place(args: Any, kwargs: Any) -> bool:
    """Whether ``to`` is told a device."""
    first = args[1] if len(args) > 1 else None
    return "device" in kwargs or isinstance(first, str | torch.device)
