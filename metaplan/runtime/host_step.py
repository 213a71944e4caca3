# pyright: basic
"""The step without a GPU: the plan itself in NumPy, with the same call, buffers and errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from metaplan import catalogue, interp
from metaplan.compiler import Built
from metaplan.runtime import inputs as given
from metaplan.runtime.into import taken
from metaplan.runtime.step import Step


class HostStep(Step):
    """Runs the plan with ``interp`` on CPU memory."""

    def __init__(self, built: Built, into: Mapping[str, torch.Tensor] = {}) -> None:
        super().__init__(built)
        plan = built.bound
        given = taken(plan.name, self._written(), into, torch.device("cpu"))
        own = {
            o.name: torch.from_numpy(np.zeros(interp.buffer_shape(plan, o), o.dtype.value))
            for o in plan.outputs
            if o.name not in given
        }
        self.outputs = {o.name: (given | own)[o.name] for o in plan.outputs}
        self.arrays = {name: tensor.numpy() for name, tensor in self.outputs.items()}
        self.values: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()

    def __call__(self, **inputs: Any) -> None:
        self.bind(**inputs)
        missing = [n for n in self.arguments if n not in self.values]
        if missing:
            raise catalogue.missing_arguments(self.built.bound.name, missing)
        plan = self.built.bound
        live = {n: int(np.asarray(self.values[n]).reshape(-1)[0]) for n in plan.root_names()}
        arrays: dict[str, Any] = {
            i.name: self.values[i.name] if i.each else np.asarray(self.values[i.name])
            for i in plan.inputs
        }
        for i in plan.inputs:
            if not i.dims:
                arrays[i.name] = arrays[i.name].reshape(1).astype(i.dtype.value)
        for slot in self.arguments.values():
            if slot.given is not None and not slot.scalar:
                value = arrays[slot.name]
                each = zip(slot.members, value, strict=True) if slot.members else [(slot, value)]
                for one, array in each:
                    assert one.given is not None
                    first = live.get(one.along)
                    given.check_shape(one, array.shape, first)
                    if one.distinct:
                        given.check_distinct(one, array, first)
                if slot.packed:
                    rest = max(slot.capacity[0] - len(value), 0)
                    arrays[slot.name] = np.pad(value, [(0, rest)] + [(0, 0)] * (value.ndim - 1))
        self.counts += interp.run(plan, arrays, live, self.arrays)

    def bind(self, **inputs: Any) -> Step:
        self._open()
        self._known(inputs)
        taken = {n: self._taken(self.arguments[n], v) for n, v in inputs.items()}
        self.values |= taken
        return self

    def _taken(self, slot: given.Slot, value: Any) -> Any:
        if slot.members:
            given.check_length(slot, value)
            return [self._taken(m, v) for m, v in zip(slot.members, value, strict=True)]
        if given.is_tensor(value):
            given.check_tensor(slot, value, torch.device("cpu"), _rows(slot, tuple(value.shape)))
            array = value.numpy()
            if slot.scalar:
                given.check_value(slot, int(array.reshape(-1)[0]))
            return array
        if slot.scalar and not isinstance(value, np.ndarray):
            return given.check_int(slot, value)
        if slot.given is not None and slot.given.state:
            raise catalogue.wrong_type(slot.name, slot.shape, f"a {type(value).__name__}")
        return given.check_array(slot, value, _rows(slot, np.shape(value)) or 0)

    def emit(self) -> None:
        raise catalogue.no_device("cuda")

    def stage(self, **inputs: Any) -> None:
        self.bind(**inputs)

    def send(self, **values: Any) -> None:
        self(**values)

    def flags(self) -> dict[str, int]:
        return dict(self.counts)


def _rows(slot: given.Slot, shape: tuple[int, ...]) -> int | None:
    """As many rows of a root axis as are given: how many of them are live is known at the call."""
    if not slot.along or slot.at >= len(shape):
        return None
    return min(shape[slot.at], slot.capacity[slot.at])
