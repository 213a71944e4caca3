# pyright: basic
"""Kernels with their arguments bound, launched in the cheapest way that the machine has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metaplan import catalogue
from metaplan.runtime.compiled import INTERPRET, Kernel
from metaplan.runtime.staging import Ring

WAYS = ("driver", "graph", "triton", "interpret")
"""driver: one driver call a kernel. graph: one call replays the staging copy and all kernels.
triton: its own launcher, wherever triton runs. interpret: the kernel's Python, on CPU tensors."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel, its grid (programs along x) and its arguments by name.

    A pointer is given as a tensor, an integer argument as an int. In a sequence with a ring, the
    name of a staged field may be given as ``Staged("field")``.
    """

    kernel: Kernel
    grid: int
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Staged:
    """The device address of a ring's field, as a kernel's pointer argument."""

    field: str


def best_way(kernel: Kernel) -> str:
    """The way that a sequence takes when none is asked for.

    On an H200, bench/launch.py, any number of arguments: graph 1.4 us of host time, driver 2.9,
    triton 7.6 to 11.
    """
    from metaplan.runtime import driver

    if kernel.target == INTERPRET:
        return "interpret"
    if kernel.target.startswith("cuda:") and driver.load() is not None:
        return "graph"
    return "triton"


class Sequence:
    """Launches in order on one device, behind the copy of a ring's slot where there is one.

    ``launch()`` runs all of it on the current stream: the caller has written the slot that
    ``ring.begin()`` gave. ``record()`` runs the kernels alone, for a stream that is being captured;
    the caller then puts ``ring.commit()`` in front of each replay, on the replaying stream.
    """

    launch: Callable[[], None]
    record: Callable[[], None]

    def __init__(
        self,
        launches: tuple[Launch, ...],
        device: Any,
        *,
        ring: Ring | None = None,
        way: str | None = None,
    ) -> None:
        from metaplan.runtime import ways

        assert launches, "a sequence without a kernel"
        for one in launches:
            _check(one)
        self.way = best_way(launches[0].kernel) if way is None else way
        assert self.way in WAYS, f"no such way: {self.way}"
        self.launches, self.device, self.ring = launches, device, ring
        self._way = ways.make(self.way, launches, device, ring)
        self.launch, self.record = self._way.launch, self._way.record

    def rebind(self, name: str, value: Any) -> None:
        """Gives every kernel that has the argument ``name`` a new tensor or integer.

        Cheap, and free of allocation and compilation; what was queued before keeps the old value.
        """
        self._way.rebind(name, value)

    def poke(self, name: str, word: int) -> None:
        """``rebind`` for a caller that has the machine word already and keeps its tensor alive."""
        self._way.poke(name, word)


def address_of(name: str, value: Any, ring: Ring | None = None) -> int:
    """The machine word that a kernel takes for ``value``."""
    match value:
        case bool() | int():
            return int(value)
        case Staged(field=field):
            assert ring is not None, f"{name}: staged, but the sequence has no ring"
            return ring.address(field)
        case _ if hasattr(value, "data_ptr"):
            return value.data_ptr()
        case _:
            raise catalogue.not_an_argument(name, type(value).__name__)


def _check(one: Launch) -> None:
    given, wanted = one.arguments.keys(), one.kernel.types.keys()
    assert given == wanted, f"{one.kernel.name}: arguments differ: {sorted(given ^ wanted)}"
    assert one.grid > 0, f"{one.kernel.name}: a grid of {one.grid}"
