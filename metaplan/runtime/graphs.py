"""A sequence of launches as a driver graph: one call replays the copy of a slot and every kernel.

Each staging slot has an executable graph of its own, because the slot's address is part of the
copy node. An argument that changes is written into the nodes of an executable graph right before
its next replay; nothing is recorded or allocated again.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import byref, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass

from metaplan.runtime.arguments import Packed
from metaplan.runtime.driver import Copy, Driver, KernelNode


@dataclass(frozen=True, slots=True)
class Entry:
    """A loaded kernel with what one launch of it takes; ``kept`` owns the module and the tensors."""

    function: int
    grid: int
    threads: int
    shared: int
    packed: Packed
    kept: object

    def node(self) -> KernelNode:
        return KernelNode(
            function=self.function,
            grid_x=self.grid,
            grid_y=1,
            grid_z=1,
            block_x=self.threads,
            block_y=1,
            block_z=1,
            shared=self.shared,
            parameters=ctypes.addressof(self.packed.pointers),
        )


@dataclass(frozen=True, slots=True)
class Transfer:
    """One copy of ``count`` bytes to the device address ``target``, from a slot's own address."""

    target: int
    sources: tuple[int, ...]
    count: int


class Replay:
    """Executable graphs of the same entries, one per source of the transfer (one where there is none)."""

    def __init__(
        self,
        driver: Driver,
        context: c_void_p,
        entries: Sequence[Entry],
        transfer: Transfer | None = None,
    ) -> None:
        self.driver = driver
        self.entries = tuple(entries)
        self.parameters = tuple(entry.node() for entry in self.entries)
        sources = (None,) if transfer is None else transfer.sources
        built = [
            self._build(context, None if transfer is None else (transfer, source))
            for source in sources
        ]
        self.graphs = tuple(graph for graph, _, _ in built)
        self.nodes = tuple(nodes for _, nodes, _ in built)
        self.ready = tuple(ready for _, _, ready in built)
        self.version = 0
        self.versions = [0] * len(built)
        weakref.finalize(self, _destroy, driver, self.graphs, self.ready).atexit = False

    def changed(self) -> None:
        """An argument has a new value: every executable graph takes it before its next replay."""
        self.version += 1

    def refresh(self, slot: int) -> None:
        """Writes the arguments of now into the executable graph of ``slot``."""
        ready = self.ready[slot]
        for node, parameters in zip(self.nodes[slot], self.parameters, strict=True):
            self.driver.call("cuGraphExecKernelNodeSetParams_v2", ready, node, byref(parameters))
        self.versions[slot] = self.version

    def _build(
        self, context: c_void_p, copy: tuple[Transfer, int | None] | None
    ) -> tuple[c_void_p, tuple[c_void_p, ...], c_void_p]:
        call, graph, last = self.driver.call, c_void_p(), None
        call("cuGraphCreate", byref(graph), c_uint(0))
        if copy is not None:
            transfer, source = copy
            node = c_void_p()
            told = Copy.to_device(transfer.target, source or 0, transfer.count)
            call(
                "cuGraphAddMemcpyNode", byref(node), graph, None, c_size_t(0), byref(told), context
            )
            last = node
        nodes: list[c_void_p] = []
        for parameters in self.parameters:
            node = c_void_p()
            before = (None, c_size_t(0)) if last is None else (byref(last), c_size_t(1))
            call("cuGraphAddKernelNode_v2", byref(node), graph, *before, byref(parameters))
            nodes.append(node)
            last = node
        ready = c_void_p()
        call("cuGraphInstantiateWithFlags", byref(ready), graph, c_ulonglong(0))
        return graph, tuple(nodes), ready


def _destroy(driver: Driver, graphs: tuple[c_void_p, ...], ready: tuple[c_void_p, ...]) -> None:
    for one in ready:
        driver.library.cuGraphExecDestroy(one)
    for one in graphs:
        driver.library.cuGraphDestroy(one)
