# pyright: basic
"""The step on a GPU: arguments bound once, one launch a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from metaplan import catalogue, config
from metaplan.compiler import Built
from metaplan.debugging import binaries
from metaplan.program import Kernel as Planned
from metaplan.program import Role
from metaplan.runtime import inputs as given
from metaplan.runtime import modules
from metaplan.runtime.buffers import allocate
from metaplan.runtime.compiled import Kernel, compile_kernel, this_target
from metaplan.runtime.into import taken
from metaplan.runtime.launch import Launch, Sequence
from metaplan.runtime.layout import Field
from metaplan.runtime.lists import Tables
from metaplan.runtime.movers import mover_for
from metaplan.runtime.staging import Ring
from metaplan.runtime.step import Step
from metaplan.runtime.streams import capturing

TYPES = {"bool": "i1", "uint8": "u8", "uint16": "u16", "int32": "i32", "int64": "i64"}


def device_target(device: str) -> tuple[torch.device, str]:
    """The device and the name of its target."""
    if not torch.cuda.is_available():
        raise catalogue.no_device(device)
    where = torch.device(device)
    if where.index is None:
        where = torch.device(where.type, torch.cuda.current_device())
    return where, this_target(where)


def types_of(kernel: Planned) -> dict[str, str]:
    """Triton's signature of a kernel: nothing in it depends on a value."""
    return {p.name: "i32" if p.role is Role.STRIDE else f"*{TYPES[p.dtype]}" for p in kernel.params}


def compiled(built: Built) -> tuple[Kernel, ...]:
    """The kernels of a build for its target, from the disk cache where they are there."""
    module = modules.load(built.source, built.program.name)
    ours = (Role.OUTPUT, Role.FLAGS, Role.WORKSPACE)
    made = tuple(
        compile_kernel(
            getattr(module, k.name),
            types_of(k),
            {},
            target=built.target.name,
            aligned=[p.name for p in k.params if p.role in ours],
            num_warps=k.num_warps,
        )
        for k in built.program.kernels
    )
    for kernel in made:
        binaries(kernel.text, kernel.name, config.load())
    return made


class DeviceStep(Step):
    """Launches the kernels of a plan on one device."""

    def __init__(
        self,
        built: Built,
        device: torch.device,
        lag: int,
        into: Mapping[str, torch.Tensor] = {},
    ) -> None:
        super().__init__(built)
        given = taken(built.bound.name, self._written(), into, device)
        self.device = device
        self.kernels = compiled(built)
        fields = [
            Field(b.name, TYPES[b.dtype], b.shape)
            for b in built.program.buffers
            if b.name not in given
        ]
        self.buffers = {**allocate(fields, device), **given}
        self.outputs = {b.name: self.buffers[b.name] for b in self._written()}
        staged = [
            Field(s.name, TYPES[s.dtype], s.capacity or (1,))
            for s in self.arguments.values()
            if s.staged or s.scalar
        ]
        self.ring = Ring(staged, mover_for(device), lag=lag) if staged else None
        listed = any(s.members for s in self.arguments.values())
        self._tables = Tables(self.arguments, device, lag) if listed else None
        self.tensors: dict[str, torch.Tensor] = {}
        self.words: dict[str, int] = {}
        self.hosted: dict[str, Any] = {}
        self.recorded = False
        self._changes = bool(built.bound.updates)
        self._distinct = [n for n, s in self.arguments.items() if s.staged and s.distinct]
        self.params = self._params()
        self.plain = Sequence(self._launches(), device)
        self.staging = (
            Sequence(self._launches(), device, ring=self.ring) if self.ring is not None else None
        )
        self.launch = self._unbound

    def _params(self) -> dict[str, list[tuple[str, int | None]]]:
        """The kernel arguments that each slot decides: its pointer, and a stride for each row."""
        made: dict[str, list[tuple[str, int | None]]] = {n: [] for n in self.arguments}
        for kernel in self.built.program.kernels:
            for p in kernel.params:
                if p.role in (Role.INPUT, Role.LIVE, Role.STRIDE):
                    at = p.dim if p.role is Role.STRIDE else None
                    if (p.name, at) not in made[p.of]:
                        made[p.of].append((p.name, at))
        return made

    def _launches(self) -> tuple[Launch, ...]:
        nothing = torch.zeros(1, dtype=torch.int32, device=self.device)
        launches: list[Launch] = []
        for planned, kernel in zip(self.built.program.kernels, self.kernels, strict=True):
            arguments: dict[str, Any] = {}
            for p in planned.params:
                match p.role:
                    case Role.OUTPUT | Role.FLAGS | Role.WORKSPACE:
                        arguments[p.name] = self.buffers[p.of]
                    case Role.STRIDE:
                        arguments[p.name] = 0
                    case _:
                        arguments[p.name] = nothing
            launches.append(Launch(kernel, planned.grid, arguments))
        return tuple(launches)

    # --------------------------------------------------------------- call

    def __call__(self, **inputs: Any) -> None:
        if inputs:
            self.bind(**inputs)
        if self.hosted:
            self._write()
        self.launch()

    def bind(self, **inputs: Any) -> Step:
        self._open()
        self._known(inputs)
        live = self._live(inputs)
        tensors: dict[str, torch.Tensor] = {}
        lists: dict[str, tuple[torch.Tensor, ...]] = {}
        hosted: dict[str, Any] = {}
        for name, value in inputs.items():
            slot = self.arguments[name]
            if slot.members:
                rows = live.get(slot.members[0].along)
                lists[name] = given.check_list(slot, value, self.device, rows)
            elif slot.staged:
                hosted[name] = given.check_array(slot, value, live.get(slot.along, 0) or 0)
            elif given.is_tensor(value):
                if value is not self.tensors.get(name):
                    given.check_tensor(slot, value, self.device, live.get(slot.along))
                tensors[name] = value
            elif slot.scalar:
                hosted[name] = given.check_int(slot, value)
            else:
                raise catalogue.wrong_type(name, slot.shape, f"a {type(value).__name__}")
        self._short(live, tensors, lists)
        self._repeated(live, hosted)
        self._list(lists)
        self._take(tensors, hosted)
        return self

    def _list(self, lists: dict[str, tuple[torch.Tensor, ...]]) -> None:
        """Lists of tensors: what the kernels take is where their table is."""
        if self._tables is None or not lists:
            return
        self._tables.take(lists)
        for name in lists:
            if name not in self.words:
                self._point(name, self._tables.address(name), None)

    def _live(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The live number of each root where the host gives it."""
        known: dict[str, Any] = {}
        for name in self.built.bound.root_names():
            value = inputs.get(name, self.hosted.get(name))
            known[name] = (
                value
                if isinstance(value, int | np.integer) and not isinstance(value, bool)
                else None
            )
        return known

    def _short(
        self, live: dict[str, int | None], new: dict[str, torch.Tensor], lists: dict[str, Any]
    ) -> None:
        """Tensors bound before that are too short for a live number that grew."""
        held = [(self.arguments[n], t) for n, t in self.tensors.items() if n not in new]
        if self._tables is not None:
            kept = (
                (self.arguments[n], ts) for n, ts in self._tables.tensors.items() if n not in lists
            )
            held += [pair for slot, ts in kept for pair in zip(slot.members, ts, strict=True)]
        for slot, tensor in held:
            needed = live.get(slot.along)
            if needed is not None and tensor.shape[slot.at] < needed:
                given.check_tensor(slot, tensor, self.device, needed)

    def _repeated(self, live: dict[str, int | None], new: dict[str, Any]) -> None:
        """Host arrays that name an element twice, those bound before too: more of their rows may be live."""
        for name in self._distinct:
            array = new.get(name, self.hosted.get(name))
            if array is not None:
                given.check_distinct(
                    self.arguments[name], array, live.get(self.arguments[name].along)
                )

    def _take(self, tensors: dict[str, torch.Tensor], hosted: dict[str, Any]) -> None:
        moved = [n for n, t in tensors.items() if self._elsewhere(n, t)]
        fresh = [n for n in hosted if n not in self.hosted]
        if self.recorded and (moved or fresh):
            raise catalogue.rebound_after_emit([*moved, *fresh])
        for name in moved:
            self._point(name, tensors[name].data_ptr(), tensors[name])
            self.hosted.pop(name, None)
        self.tensors |= tensors
        for name in fresh:
            assert self.ring is not None
            self._point(name, self.ring.address(name), None)
            self.tensors.pop(name, None)
        self.hosted |= hosted
        self._ready()

    def _elsewhere(self, name: str, tensor: torch.Tensor) -> bool:
        """Whether a kernel would find other elements through ``tensor`` than it does now."""
        if tensor.data_ptr() != self.words.get(name):
            return True
        old = self.tensors.get(name)
        return tensor is not old and (old is None or tensor.stride() != old.stride())

    def _point(self, name: str, address: int, tensor: torch.Tensor | None) -> None:
        self.words[name] = address
        for sequence in (self.plain, self.staging):
            if sequence is None:
                continue
            for param, dim in self.params[name]:
                word = address if dim is None else self._stride(name, dim, tensor)
                sequence.poke(param, word)

    def _stride(self, name: str, dim: int, tensor: torch.Tensor | None) -> int:
        if tensor is not None:
            return tensor.stride(dim)
        stride = 1
        for n in self.arguments[name].capacity[dim + 1 :]:
            stride *= n
        return stride

    def _ready(self) -> None:
        missing = [n for n in self.arguments if n not in self.words]
        self.launch = self._unbound
        if not missing:
            chosen = self.staging if self.hosted else self.plain
            assert chosen is not None
            self.launch = _uncaptured(chosen.launch) if self._changes else chosen.launch

    def _unbound(self) -> None:
        self._open()
        missing = [n for n in self.arguments if n not in self.words]
        raise catalogue.missing_arguments(self.built.bound.name, missing)

    def _write(self) -> None:
        """The host's values into the ring's next slot."""
        assert self.ring is not None
        views = self.ring.begin()
        for name, value in self.hosted.items():
            if isinstance(value, int):
                views[name][0] = value
            else:
                views[name][tuple(slice(n) for n in value.shape)] = value

    # ------------------------------------------------------------- graphs

    def emit(self) -> None:
        self._open()
        if any(n not in self.words for n in self.arguments):
            raise catalogue.emit_before_bind(self.built.bound.name)
        # What runs before a capture to warm up must not change a state that each replay changes.
        if self._changes and not capturing():
            return
        self.plain.record()
        self.recorded = True

    def stage(self, **inputs: Any) -> None:
        self.bind(**inputs)
        if self.hosted:
            self._write()
            assert self.ring is not None
            self.ring.commit()

    def send(self, **values: Any) -> None:
        assert self.ring is not None, "no host inputs"
        views = self.ring.begin()
        for name, value in values.items():
            if isinstance(value, int):
                views[name][0] = value
            else:
                views[name][: len(value)] = value
        self.launch()

    def flags(self) -> dict[str, int]:
        self._open()
        if "flags" not in self.buffers:
            return {}
        total: Counter[str] = Counter()
        counts = self.buffers["flags"].tolist()
        for promise, count in zip(self.built.program.flags, counts, strict=True):
            total[promise] += count
        return {promise: count for promise, count in total.items() if count}

    def close(self) -> None:
        super().close()
        self.launch = self._unbound


def _uncaptured(launch: Callable[[], None]) -> Callable[[], None]:
    """``launch`` of a plan that changes states, refused where a graph is being captured.

    A function that a capture warms up by running it would change them in passing.
    """

    def once() -> None:
        if capturing():
            raise catalogue.called_in_capture()
        launch()

    return once
