# pyright: basic
"""The ways to launch: each is made once for bound arguments and is then a bare function."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_void_p
from typing import Any, Protocol

from metaplan import catalogue
from metaplan.runtime import driver as drivers
from metaplan.runtime.driver import Copy
from metaplan.runtime.entry import Entry, caller, load
from metaplan.runtime.graphs import Replay
from metaplan.runtime.launch import Launch, Staged, address_of
from metaplan.runtime.staging import Ring
from metaplan.runtime.streams import capturing, raw_stream


class Way(Protocol):
    """What a sequence asks of a way."""

    @property
    def launch(self) -> Callable[[], None]: ...
    @property
    def record(self) -> Callable[[], None]: ...
    def poke(self, name: str, word: int) -> None: ...
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
        self.places = _places(entries)
        self.loaded = _driver()
        self.context = self.loaded.context(device)
        self.record = self._kernels(device)
        self.launch = self.record if ring is None else _after_commit(self.record, ring)

    def rebind(self, name: str, value: Any) -> None:
        self.poke(name, address_of(name, value))

    def poke(self, name: str, word: int) -> None:
        for cells, index in self.places.get(name, ()):
            cells[index] = word

    def _kernels(self, device: Any) -> Callable[[], None]:
        calls = [caller(self.loaded, self.context, entry) for entry in self.entries]
        current, index = raw_stream(), _index(device)

        def single(call: Callable[[int], None] = calls[0]) -> None:
            call(current(index))

        def several() -> None:
            stream = current(index)
            for call in calls:
                call(stream)

        return single if len(calls) == 1 else several


class Graph:
    """One cuGraphLaunch for the copy and all kernels; recording falls back on plain launches."""

    def __init__(self, entries: tuple[Entry, ...], device: Any, ring: Ring | None) -> None:
        import torch

        self.direct = Direct(entries, device, ring)
        fronts = () if ring is None else _fronts(ring)
        with torch.cuda.device(device):
            self.replay = Replay(self.direct.loaded, self.direct.context, entries, fronts)
        self.record = self.direct.record
        self.launch = self._plain(device) if ring is None else self._staged(device, ring)

    def rebind(self, name: str, value: Any) -> None:
        self.poke(name, address_of(name, value))

    def poke(self, name: str, word: int) -> None:
        self.direct.poke(name, word)
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
        if code in drivers.CAPTURING:
            raise catalogue.called_in_capture()
        loaded.again(
            code, self.direct.context, lambda: loaded.launch_graph(ready, stream), "cuGraphLaunch"
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
        self.poke(name, address_of(name, value))

    def poke(self, name: str, word: int) -> None:
        for values in self.values:
            if name in values:
                values[name] = word


class Interpreted:
    """The kernel's Python under TRITON_INTERPRET=1: CPU tensors in, CPU tensors out."""

    def __init__(self, launches: tuple[Launch, ...], ring: Ring | None) -> None:
        self.launches = launches
        self.arguments = [
            {name: _tensor(one, name, value, ring) for name, value in one.arguments.items()}
            for one in launches
        ]
        self.ring = ring

    def launch(self) -> None:
        if self.ring is not None:
            self.ring.commit()
        self.record()

    def record(self) -> None:
        for one, arguments in zip(self.launches, self.arguments, strict=True):
            one.kernel.fn[one.grid,](**arguments, **one.kernel.constants)

    def rebind(self, name: str, value: Any) -> None:
        for arguments in self.arguments:
            if name in arguments:
                arguments[name] = value

    def poke(self, name: str, word: int) -> None:
        raise AssertionError(f"{name}: the interpreter takes tensors; rebind it")


def _after_commit(kernels: Callable[[], None], ring: Ring) -> Callable[[], None]:
    """A copy that is captured would read the same slot at every replay, whatever is in it then."""

    def run() -> None:
        if capturing():
            raise catalogue.called_in_capture()
        ring.commit()
        kernels()

    return run


def _fronts(ring: Ring) -> tuple[Copy | Entry, ...]:
    from metaplan.runtime.pull import Pull

    mover = ring.mover
    if isinstance(mover, Pull):
        return mover.entries
    return tuple(
        Copy.to_device(mover.base, source, ring.layout.bytes) for source in mover.addresses
    )


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
    types = {
        "*i32": torch.int32,
        "*i64": torch.int64,
        "*u8": torch.uint8,
        "*u16": torch.uint16,
        "*i1": torch.bool,
    }
    return block[first : first + field.bytes].view(types[one.kernel.types[name]])


def _loaded(launches: tuple[Launch, ...], device: Any, ring: Ring | None) -> tuple[Entry, ...]:
    """Kernels loaded on ``device``, their arguments packed."""
    return tuple(
        load(
            one.kernel,
            one.grid,
            {name: address_of(name, value, ring) for name, value in one.arguments.items()},
            device,
            one,
        )
        for one in launches
    )


def _places(entries: tuple[Entry, ...]) -> dict[str, list[tuple[Any, int]]]:
    """Every cell in which an argument's word lies, by the argument's name."""
    found: dict[str, list[tuple[Any, int]]] = {}
    for entry in entries:
        for name, index in entry.packed.index.items():
            found.setdefault(name, []).append((entry.packed.cells, index))
    return found


def _driver() -> drivers.Driver:
    loaded = drivers.load()
    assert loaded is not None, "no CUDA driver on this machine"
    return loaded


def _index(device: Any) -> int:
    import torch

    index = torch.device(device).index
    return torch.cuda.current_device() if index is None else index
