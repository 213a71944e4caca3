# pyright: basic
"""A kernel loaded on a device, with everything that one launch of it takes."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, byref, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaplan.runtime.arguments import Packed
from metaplan.runtime.driver import (
    DEPENDENT,
    Driver,
    KernelNode,
    LaunchConfig,
)

if TYPE_CHECKING:
    from metaplan.runtime.compiled import Kernel


@dataclass(frozen=True, slots=True)
class Entry:
    """Handles and sizes of a launch; ``kept`` owns the kernel's module and the tensors.

    ``dependent``: the kernel may start before the one in front of it on a stream is done; it waits inside.
    """

    function: int
    grid: int
    threads: int
    shared: int
    packed: Packed
    kept: object
    dependent: bool = False

    def node(self) -> KernelNode:
        """The launch as a node of a driver graph."""
        return KernelNode(
            function=self.function,
            grid_x=self.grid,
            grid_y=1,
            grid_z=1,
            block_x=self.threads,
            block_y=1,
            block_z=1,
            shared=self.shared,
            parameters=addressof(self.packed.pointers),
        )


def load(kernel: Kernel, grid: int, words: dict[str, int], device: Any, kept: object) -> Entry:
    """The kernel on ``device`` with ``words`` for its arguments, in the order of its types."""
    import torch

    binary = kernel.binary
    with torch.cuda.device(device):
        torch.cuda.current_stream().query()
        assert binary.run is not None
    packed = Packed({name: words[name] for name in kernel.types})
    shared = binary.metadata.shared
    waits = "griddepcontrol.wait" in binary.asm.get("ptx", "")
    return Entry(binary.function, grid, kernel.threads, shared, packed, (binary, kept), waits)


def caller(driver: Driver, context: c_void_p, entry: Entry) -> Callable[[int], None]:
    """A function that launches ``entry`` on a stream with one driver call."""
    config = LaunchConfig(entry.grid, 1, 1, entry.threads, 1, 1, entry.shared)
    if entry.dependent:
        config.attributes, config.attribute_count = addressof(DEPENDENT), 1
    told, function, parameters = byref(config), c_void_p(entry.function), entry.packed.pointers
    call, last = driver.launch, 0

    def run(stream: int, _entry: Entry = entry) -> None:
        nonlocal last
        if stream != last:
            config.stream = last = stream
        if code := call(told, function, parameters, None):
            driver.again(
                code, context, lambda: call(told, function, parameters, None), "cuLaunchKernelEx"
            )

    return run
