"""Host arrays and integers reach the device together: one pinned slot, one copy a step.

A slot may be written again only when the copy that read it is done. The ring has room for a host
that runs ``lag`` steps ahead of the device, so that there the answer is always yes. A host that
runs further ahead waits at this one place (it is safe, and counted in ``waits``); with ``strict``
it is refused instead.

The slots form groups of ``group``: one event is recorded after the last copy of a group and asked
before the first write of its next round, so that an event's price is paid once in ``group`` steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from metaplan import catalogue
from metaplan.runtime.layout import NUMPY, Field, Layout, pack

if TYPE_CHECKING:
    import numpy

ALIGN = 16
"""Bytes: the widest load of a kernel."""
GROUP = 8
"""Slots that share an event. On an H200, bench/launch.py: 5.6 us a step with an event for each of
them, 4.0, 3.5 and 3.2 us with one for 4, 8 and 16 (1 KB of host inputs, way graph)."""


class Mover(Protocol):
    """Carries slots to the device block, in the order of the streams that it is given."""

    @property
    def memories(self) -> list[numpy.ndarray]:
        """The slots: uint8[bytes] each, pinned where that means something."""
        ...

    @property
    def addresses(self) -> tuple[int, ...]:
        """Where each slot lies in host memory."""
        ...

    @property
    def base(self) -> int:
        """Where the device block lies; it never moves."""
        ...

    def stream(self) -> int:
        """The stream that is current."""
        ...

    def copy(self, slot: int, stream: int) -> None:
        """Queues the transfer of a slot to the device block on ``stream``."""
        ...

    def mark(self, group: int, stream: int) -> None:
        """Records that ``group`` is read once everything now queued on ``stream`` is done."""
        ...

    def done(self, group: int) -> bool:
        """Whether all marks of ``group`` are reached; never waits."""
        ...

    def wait(self, group: int) -> None:
        """Returns when all marks of ``group`` are reached."""
        ...


def slots_for(lag: int, group: int = GROUP) -> int:
    """Slots of a ring: lag + 2 with an event each; in groups, as many as cover lag + group + 1."""
    return -(-(lag + group + 1) // group) * group


class Ring:
    """Slots written by the host in turn; ``begin``, write, then ``commit`` (or a graph's copy)."""

    def __init__(
        self,
        fields: Iterable[Field],
        mover: Callable[[int, int, int], Mover],
        *,
        lag: int = 2,
        group: int = GROUP,
        strict: bool = False,
    ) -> None:
        """``mover(slots, bytes, groups)`` makes the carrier; ``lag``: steps the host may be ahead."""
        self.layout: Layout = pack(fields, align=ALIGN)
        self.lag, self.group, self.strict = lag, group, strict
        self.slots = slots_for(lag, group)
        self.mover = mover(self.slots, self.layout.bytes, self.slots // group)
        self.views = [_views(self.layout, memory) for memory in self.mover.memories]
        self.slot = 0
        self.waits = 0
        self._stream = 0
        self._unread = False
        self._next = [*range(1, self.slots), 0]
        self._ends = [slot % group == group - 1 for slot in range(self.slots)]

    def address(self, name: str) -> int:
        """The device address of a field: the same for every slot and every step."""
        return self.mover.base + self.layout.offsets[name]

    def begin(self) -> dict[str, numpy.ndarray]:
        """Views of the slot to write now, by field; a scalar's view has the shape [1]."""
        if self._unread:
            self._enter(self.slot // self.group)
        return self.views[self.slot]

    def commit(self, stream: int | None = None) -> None:
        """Queues the copy of the written slot on ``stream`` (the current one) and moves on."""
        stream = self.mover.stream() if stream is None else stream
        self.mover.copy(self.slot, stream)
        self.advance(stream)

    def advance(self, stream: int) -> None:
        """The written slot's copy has been queued on ``stream``: the next slot is current."""
        slot = self.slot
        if stream != self._stream:
            self._switch(slot, stream)
        if self._ends[slot]:
            self.mover.mark(slot // self.group, stream)
            self._unread = True
        self.slot = self._next[slot]

    def _enter(self, group: int) -> None:
        """The first write into a group since its last round."""
        if not self.mover.done(group):
            if self.strict:
                raise catalogue.too_far_ahead(self.lag)
            self.waits += 1
            self.mover.wait(group)
        self._unread = False

    def _switch(self, slot: int, stream: int) -> None:
        """Copies of this group on the stream before need a mark there: the last one is elsewhere."""
        if slot % self.group:
            self.mover.mark(slot // self.group, self._stream)
        self._stream = stream


def _views(layout: Layout, memory: numpy.ndarray) -> dict[str, numpy.ndarray]:
    found: dict[str, numpy.ndarray] = {}
    for field in layout.fields:
        first = layout.offsets[field.name]
        flat = memory[first : first + field.bytes].view(NUMPY[field.dtype])
        found[field.name] = flat.reshape(field.shape or (1,))
    return found
