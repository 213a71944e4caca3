# pyright: basic
"""The ways to launch: each is made once for bound arguments and is then a bare function."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, c_void_p
from typing import Any, Protocol

from metaplan.runtime import driver as drivers
from metaplan.runtime.arguments import Packed
from metaplan.runtime.graphs import Entry, Replay, Transfer
from metaplan.runtime.launch import Launch, Staged, address_of
from metaplan.runtime.staging import Ring
from metaplan.runtime.streams import raw_stream


class Way(Protocol):
    """What a sequence asks of a way."""

    launch: Callable[[], None]
    record: Callable[[], None]

    def rebind(self, name: str, value: Any) -> None: ...


def make(way: str, launches: tuple[Launch, ...], device: Any, ring: Ring | None) -> Way:
    """The way of that name over ``launches``."""
    match way:
        case "driver":
            return Direct(_loaded(launches, device, ring), device, ring)
        case "graph":
            return Graph(_loaded(launches, device, ring), device, ring)
        case "triton":
            return Portable(launches, device, ring)
        case _:
            return Interpreted(launches, ring)


class Direct:
    """One cuLaunchKernelEx a kernel; arguments and configuration are packed once."""

    def __init__(self, entries: tuple[Entry, ...], device: Any, ring: Ring | None) -> None:
        self.entries = entries
        self.loaded = _driver()
        self.context = self.loaded.context(device)
        self.record = self._kernels(device)
        self.launch = self.record if ring is None else _after_commit(self.record, ring)

    def rebind(self, name: str, value: Any) -> None:
        _poke(self.entries, name, value)

    def _kernels(self, device: Any) -> Callable[[], None]:
        single = [self._kernel(entry, device) for entry in self.entries]
        if len(single) == 1:
            return single[0]

        def run() -> None:
            for one in single:
                one()

        return run

    def _kernel(self, entry: Entry, device: Any) -> Callable[[], None]:
        config = drivers.LaunchConfig(entry.grid, 1, 1, entry.threads, 1, 1, entry.shared)
        told, function, parameters = byref(config), c_void_p(entry.function), entry.packed.pointers
        call, current, index, again = self.loaded.launch, raw_stream(), _index(device), self._again
        config.stream = last = current(index)

        def run() -> None:
            nonlocal last
            stream = current(index)
            if stream != last:
                config.stream = last = stream
            if code := call(told, function, parameters, None):
                again(code, lambda: call(told, function, parameters, None))

        return run

    def _again(self, code: int, call: Callable[[], int]) -> None:
        if code not in drivers.WRONG_CONTEXT:
            self.loaded.fail(code, "cuLaunchKernelEx")
        self.loaded.within(self.context, call, "cuLaunchKernelEx")


class Graph:
    """One cuGraphLaunch for the copy and all kernels; recording falls back on plain launches."""

    def __init__(self, entries: tuple[Entry, ...], device: Any, ring: Ring | None) -> None:
        import torch

        self.direct = Direct(entries, device, ring)
        transfer = None
        if ring is not None:
            transfer = Transfer(ring.mover.base, ring.mover.addresses, ring.layout.bytes)
        with torch.cuda.device(device):
            self.replay = Replay(self.direct.loaded, self.direct.context, entries, transfer)
        self.record = self.direct.record
        self.launch = self._plain(device) if ring is None else self._staged(device, ring)

    def rebind(self, name: str, value: Any) -> None:
        self.direct.rebind(name, value)
        self.replay.changed()

    def _plain(self, device: Any) -> Callable[[], None]:
        replay, current, index, again = self.replay, raw_stream(), _index(device), self._again
        call, ready, versions = self.direct.loaded.launch_graph, replay.ready[0], replay.versions

        def run() -> None:
            if versions[0] != replay.version:
                replay.refresh(0)
            stream = current(index)
            if code := call(ready, stream):
                again(code, ready, stream)

        return run

    def _staged(self, device: Any, ring: Ring) -> Callable[[], None]:
        replay, current, index, again = self.replay, raw_stream(), _index(device), self._again
        call, ready, versions = self.direct.loaded.launch_graph, replay.ready, replay.versions

        def run() -> None:
            slot = ring.slot
            if versions[slot] != replay.version:
                replay.refresh(slot)
            stream = current(index)
            if code := call(ready[slot], stream):
                again(code, ready[slot], stream)
            ring.advance(stream)

        return run

    def _again(self, code: int, ready: c_void_p, stream: int) -> None:
        loaded = self.direct.loaded
        if code not in drivers.WRONG_CONTEXT:
            loaded.fail(code, "cuGraphLaunch")
        loaded.within(
            self.direct.context, lambda: loaded.launch_graph(ready, stream), "cuGraphLaunch"
        )


class Portable:
    """triton's own launcher, without its compiler: wherever triton has a driver."""

    def __init__(self, launches: tuple[Launch, ...], device: Any, ring: Ring | None) -> None:
        import torch

        self.device, self.values = device, [_values(one, ring) for one in launches]
        with torch.cuda.device(device):
            self.runs = [one.kernel.binary[one.grid, 1, 1] for one in launches]
        self.launch = self.record if ring is None else _after_commit(self.record, ring)

    def record(self) -> None:
        import torch

        with torch.cuda.device(self.device):
            for run, values in zip(self.runs, self.values, strict=True):
                run(*values.values())

    def rebind(self, name: str, value: Any) -> None:
        for values in self.values:
            if name in values:
                values[name] = address_of(name, value)


class Interpreted:
    """The kernel's Python under TRITON_INTERPRET=1: CPU tensors in, CPU tensors out."""

    def __init__(self, launches: tuple[Launch, ...], ring: Ring | None) -> None:
        self.launches = launches
        self.arguments = [
            {name: _tensor(one, name, value, ring) for name, value in one.arguments.items()}
            for one in launches
        ]
        self.launch = self.record if ring is None else _after_commit(self.record, ring)

    def record(self) -> None:
        for one, arguments in zip(self.launches, self.arguments, strict=True):
            one.kernel.fn[one.grid,](**arguments, **one.kernel.constants)

    def rebind(self, name: str, value: Any) -> None:
        for arguments in self.arguments:
            if name in arguments:
                arguments[name] = value


def _after_commit(kernels: Callable[[], None], ring: Ring) -> Callable[[], None]:
    def run() -> None:
        ring.commit()
        kernels()

    return run


def _values(one: Launch, ring: Ring | None) -> dict[str, Any]:
    """Every argument in the order of the kernel's own parameters, constants included."""
    kernel = one.kernel
    return {
        name: kernel.constants[name]
        if name in kernel.constants
        else address_of(name, one.arguments[name], ring)
        for name in kernel.order
    }


def _tensor(one: Launch, name: str, value: Any, ring: Ring | None) -> Any:
    """What the interpreter takes: a staged field as a typed view of the device block."""
    import torch

    if not isinstance(value, Staged):
        return value
    assert ring is not None, f"{name}: staged, but the sequence has no ring"
    field = next(field for field in ring.layout.fields if field.name == value.field)
    first = ring.layout.offsets[field.name]
    block: torch.Tensor = ring.mover.block  # pyright: ignore[reportAttributeAccessIssue]
    types = {"*i32": torch.int32, "*i64": torch.int64, "*u8": torch.uint8, "*i1": torch.bool}
    return block[first : first + field.bytes].view(types[one.kernel.types[name]])


def _loaded(launches: tuple[Launch, ...], device: Any, ring: Ring | None) -> tuple[Entry, ...]:
    """Kernels loaded on ``device``, their arguments packed."""
    import torch

    found: list[Entry] = []
    with torch.cuda.device(device):
        torch.cuda.current_stream().query()
        for one in launches:
            kernel, binary = one.kernel, one.kernel.binary
            assert binary.run is not None
            words = {name: address_of(name, one.arguments[name], ring) for name in kernel.types}
            found.append(
                Entry(
                    function=binary.function,
                    grid=one.grid,
                    threads=kernel.threads,
                    shared=binary.metadata.shared,
                    packed=Packed(words),
                    kept=one,
                )
            )
    return tuple(found)


def _poke(entries: tuple[Entry, ...], name: str, value: Any) -> None:
    word = address_of(name, value)
    for entry in entries:
        if name in entry.packed.index:
            entry.packed[name] = word


def _driver() -> drivers.Driver:
    loaded = drivers.load()
    assert loaded is not None, "no CUDA driver on this machine"
    return loaded


def _index(device: Any) -> int:
    import torch

    index = torch.device(device).index
    return torch.cuda.current_device() if index is None else index
