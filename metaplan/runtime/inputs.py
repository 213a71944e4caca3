# pyright: basic
"""What a caller may pass for each input, checked before anything is launched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplan import catalogue, ir
from metaplan.ir import Home
from metaplan.reach import reach

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Slot:
    """One argument of a step: an input, or the live size of a root axis (``given`` is None)."""

    name: str
    given: ir.Input | None
    capacity: tuple[int, ...]
    roots: tuple[bool, ...]
    roots_capacity: int = 0
    members: tuple[Slot, ...] = ()
    """For a list of tensors: what each of them must be."""
    packed: bool = False
    """Whether its rows are the points of a ragged axis: as many as are live, which only the plan knows."""

    @property
    def scalar(self) -> bool:
        return not self.capacity

    @property
    def along(self) -> str:
        """The root axis of which only the live rows need be there; empty without one."""
        return "" if self.given is None or True not in self.roots else str(self.given.dims[self.at])

    @property
    def at(self) -> int:
        """The dimension of that axis."""
        return self.roots.index(True) if True in self.roots else 0

    @property
    def staged(self) -> bool:
        """Whether the host's bytes travel through the ring each step."""
        return self.given is not None and self.given.home is Home.HOST

    @property
    def distinct(self) -> bool:
        """Whether the plan writes where its numbers say, in no order."""
        return self.given is not None and self.given.distinct and not self.scalar

    @property
    def dtype(self) -> str:
        return "int32" if self.given is None else self.given.dtype.value

    @property
    def shape(self) -> str:
        return "int32[1]" if self.given is None else self.given.shape

    @property
    def limits(self) -> tuple[int, int]:
        """The declared range; the capacity of a live size."""
        if self.given is None:
            return 0, self.roots_capacity
        lo, hi = self.given.lo, self.given.hi
        return (
            self.given.dtype.lo if lo is None else lo,
            self.given.dtype.hi if hi is None else hi,
        )


def slots(plan: ir.Plan, placed: ir.Plan) -> dict[str, Slot]:
    """Every argument of a step by name: the inputs, then the live sizes."""
    roots = set(plan.root_names())
    ragged = {a.name for a in plan.axes if isinstance(a, ir.Ragged)}
    made: dict[str, Slot] = {}
    for i in plan.inputs:
        capacity, live = plan.extents(i), tuple(d in roots for d in i.dims)
        members: list[Slot] = []
        for at, shape in enumerate(reach(placed, i) if i.each else ()):
            one = replace(i, name=f"{i.name}[{at}]", dims=i.dims[1:], each=False)
            members.append(Slot(one.name, one, shape, live[1:]))
        packed = i.home is Home.HOST and not ragged.isdisjoint(map(str, i.dims[:1]))
        made[i.name] = Slot(i.name, i, capacity, live, members=tuple(members), packed=packed)
    for name in plan.root_names():
        made[name] = Slot(name, None, (), (), plan.size(name))
    return made


def is_tensor(value: object) -> bool:
    return hasattr(value, "data_ptr") and hasattr(value, "stride")


def check_tensor(slot: Slot, tensor: torch.Tensor, device: torch.device, live: int | None) -> None:
    """Raises what keeps a tensor from being read by the kernel as it is.

    ``live`` is the number of live rows where the host knows it: a tensor may then be that short.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype != slot.dtype:
        raise catalogue.wrong_dtype(slot.name, slot.dtype, dtype)
    if not slot.scalar and _too_far(slot, tensor):
        raise catalogue.rows_too_far(slot.name, tuple(tensor.stride()))
    if tensor.device != device:
        raise catalogue.wrong_device(slot.name, str(device), str(tensor.device))
    shape = tuple(tensor.shape)
    if slot.scalar:
        if tensor.numel() != 1:
            raise catalogue.wrong_shape(slot.name, slot.shape, shape)
        return
    check_shape(slot, shape, live)
    if tensor.numel() and shape[-1] > 1 and tensor.stride(-1) != 1:
        raise catalogue.not_contiguous(slot.name, tuple(tensor.stride()))


def check_list(
    slot: Slot, value: Any, device: torch.device, live: int | None
) -> tuple[torch.Tensor, ...]:
    """A list of tensors, each of which the plan can read as far as it does."""
    check_length(slot, value)
    for member, tensor in zip(slot.members, value, strict=True):
        if not is_tensor(tensor):
            raise catalogue.wrong_type(member.name, member.shape, f"a {type(tensor).__name__}")
        check_tensor(member, tensor, device, live)
    return tuple(value)


def check_length(slot: Slot, value: Any) -> None:
    if isinstance(value, list | tuple) and len(value) == len(slot.members):
        return
    got = f"a {type(value).__name__}"
    if isinstance(value, list | tuple):
        got += f" of {len(value)}"
    raise catalogue.not_listed(slot.name, len(slot.members), slot.shape, got)


def _too_far(slot: Slot, tensor: torch.Tensor) -> bool:
    """Whether an element lies beyond what the kernel's addresses reach: int32 for small tables."""
    strides = tensor.stride()
    if any(stride >= 1 << 31 for stride in strides):
        return True
    last = sum((n - 1) * stride for n, stride in zip(slot.capacity, strides, strict=False))
    return last >= 1 << 31 > prod(slot.capacity)


def check_shape(slot: Slot, shape: tuple[int, ...], live: int | None) -> None:
    """Every dimension is as long as the plan may index it."""
    dims = slot.given.dims if slot.given is not None else ()
    needed = [
        live if dim == slot.along and live is not None else capacity
        for capacity, dim in zip(slot.capacity, dims, strict=True)
    ]
    if slot.packed:
        needed[0] = 0
    if len(shape) != len(needed) or any(s < n for s, n in zip(shape, needed, strict=True)):
        assert slot.given is not None
        named = ", ".join(
            str(d) if str(d) == str(n) else f"{d} = {n}"
            for d, n in zip(slot.given.dims, needed, strict=True)
        )
        raise catalogue.wrong_shape(slot.name, f"{slot.dtype}[{named}] or more", shape)


def check_array(slot: Slot, value: Any, live: int) -> np.ndarray:
    """A host input as an array of its dtype; its values are seen here, so they are checked."""
    if not isinstance(value, np.ndarray | list | tuple):
        raise catalogue.wrong_type(slot.name, slot.shape, f"a {type(value).__name__}")
    array = np.asarray(value)
    if array.dtype.kind not in "iub" or (array.size == 0 and array.ndim == 0):
        if array.size:
            raise catalogue.wrong_dtype(slot.name, slot.dtype, str(array.dtype))
        array = array.astype(slot.dtype)
    check_shape(slot, array.shape, live)
    if slot.staged and any(n > most for n, most in zip(array.shape, slot.capacity, strict=True)):
        raise catalogue.too_long(slot.name, array.shape, slot.capacity)
    if array.size:
        check_value(slot, int(array.min()))
        check_value(slot, int(array.max()))
    return array


def check_distinct(slot: Slot, array: np.ndarray, live: int | None) -> None:
    """No number twice among the live rows, where the plan says so; negative ones name nothing."""
    held = array[:live] if slot.roots[:1] == (True,) else array
    ordered = np.sort(held, axis=None)
    ordered = ordered[np.searchsorted(ordered, 0) :]
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    if again.size:
        raise catalogue.repeated(slot.name, int(ordered[again[0]]))


def check_value(slot: Slot, value: int) -> None:
    lo, hi = slot.limits
    if value < lo or value > hi:
        if slot.given is None:
            if value > hi:
                raise catalogue.size_above_capacity(slot.name, value, hi)
            raise catalogue.bad_live_size(slot.name, str(value))
        raise catalogue.value_out_of_range(slot.name, value, lo, hi)


def check_int(slot: Slot, value: object) -> int:
    """A scalar from the host."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        if slot.given is None:
            raise catalogue.bad_live_size(slot.name, repr(value))
        raise catalogue.wrong_type(slot.name, slot.shape, f"a {type(value).__name__}")
    check_value(slot, int(value))
    return int(value)
