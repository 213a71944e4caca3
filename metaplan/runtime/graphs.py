"""A sequence of launches as a driver graph: one call replays the copy of a slot and every kernel.

Each staging slot has an executable graph of its own, because the slot's address is part of it. An argument that changes is written into the nodes of an executable graph right before
its next replay; nothing is recorded or allocated again.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from ctypes import byref, c_size_t, c_uint, c_ulonglong, c_void_p

from metaplan.runtime.driver import Copy, Driver, KernelNode
from metaplan.runtime.entry import Entry


class Replay:
    """Executable graphs of the same entries, one for each front (one where there is none).

    A front is what goes before the kernels in one slot's graph: its copy, or a kernel that fetches.
    """

    def __init__(
        self,
        driver: Driver,
        context: c_void_p,
        entries: Sequence[Entry],
        fronts: Sequence[Copy | Entry] = (),
    ) -> None:
        self.driver = driver
        self.entries, self.fronts = tuple(entries), tuple(fronts)
        self.parameters = tuple(entry.node() for entry in self.entries)
        built = [self._build(context, front) for front in self.fronts or (None,)]
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
        self, context: c_void_p, front: Copy | Entry | None
    ) -> tuple[c_void_p, tuple[c_void_p, ...], c_void_p]:
        call, graph, last = self.driver.call, c_void_p(), None
        call("cuGraphCreate", byref(graph), c_uint(0))
        match front:
            case Copy():
                last, none = c_void_p(), (None, c_size_t(0))
                call("cuGraphAddMemcpyNode", byref(last), graph, *none, byref(front), context)
            case Entry():
                last = self._kernel(graph, None, front.node())
            case None:
                pass
        nodes: list[c_void_p] = []
        for parameters in self.parameters:
            last = self._kernel(graph, last, parameters)
            nodes.append(last)
        ready = c_void_p()
        call("cuGraphInstantiateWithFlags", byref(ready), graph, c_ulonglong(0))
        return graph, tuple(nodes), ready

    def _kernel(self, graph: c_void_p, after: c_void_p | None, parameters: KernelNode) -> c_void_p:
        node = c_void_p()
        before = (None, c_size_t(0)) if after is None else (byref(after), c_size_t(1))
        self.driver.call("cuGraphAddKernelNode_v2", byref(node), graph, *before, byref(parameters))
        return node


def _destroy(driver: Driver, graphs: tuple[c_void_p, ...], ready: tuple[c_void_p, ...]) -> None:
    for one in ready:
        driver.library.cuGraphExecDestroy(one)
    for one in graphs:
        driver.library.cuGraphDestroy(one)
