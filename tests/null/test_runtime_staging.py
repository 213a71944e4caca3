"""A slot is never rewritten before its copy is done, whatever the lead of the host."""

from __future__ import annotations

from collections import deque

import numpy
import pytest

from metaplan.errors import CallError
from metaplan.runtime.layout import Field
from metaplan.runtime.staging import Ring, slots_for

pytestmark = pytest.mark.null

FIELDS = (Field("rows", "i32", (6,)), Field("count", "i64"), Field("flags", "i1", (2,)))


class Device:
    """A device that copies late: each queued copy reads its slot only when it is executed."""

    def __init__(self, slots: int, size: int, groups: int) -> None:
        self.memories = [numpy.zeros(size, numpy.uint8) for _ in range(slots)]
        self.addresses = tuple(memory.ctypes.data for memory in self.memories)
        self.base = 4096
        self.current = 1
        self.queue: deque[tuple[str, int, int]] = deque()
        self.received: list[numpy.ndarray] = []
        self.open = [0] * groups
        self.marks: list[tuple[int, int]] = []

    def stream(self) -> int:
        return self.current

    def copy(self, slot: int, stream: int) -> None:
        self.queue.append(("copy", slot, stream))

    def mark(self, group: int, stream: int) -> None:
        self.open[group] += 1
        self.marks.append((group, stream))
        self.queue.append(("mark", group, stream))

    def execute(self) -> None:
        kind, which, _ = self.queue.popleft()
        if kind == "copy":
            self.received.append(self.memories[which].copy())
        else:
            self.open[which] -= 1

    def steps_behind(self) -> int:
        return sum(kind == "copy" for kind, _, _ in self.queue)

    def done(self, group: int) -> bool:
        return not self.open[group]

    def wait(self, group: int) -> None:
        while self.open[group]:
            self.execute()


class Unguarded(Device):
    """The bug that engines have had: nobody asks whether the copy is done."""

    def done(self, group: int) -> bool:
        return True


def run(ring: Ring, device: Device, steps: int, lead: int) -> list[int]:
    """Writes ``steps`` numbers with a host at most ``lead`` steps ahead; what the device received."""
    for step in range(steps):
        while device.steps_behind() > lead:
            device.execute()
        views = ring.begin()
        views["rows"][:] = step
        views["count"][0] = step
        ring.commit()
    while device.queue:
        device.execute()
    seen: list[int] = []
    for memory in device.received:
        rows = memory[: 6 * 4].view(numpy.int32)
        count = memory[ring.layout.offsets["count"] :][:8].view(numpy.int64)
        seen.append(int(rows[0]) if (rows == count[0]).all() else -1)
    return seen


def make(kind: type[Device], lag: int, group: int, *, strict: bool = False) -> tuple[Ring, Device]:
    ring = Ring(FIELDS, kind, lag=lag, group=group, strict=strict)
    assert isinstance(ring.mover, Device)
    return ring, ring.mover


@pytest.mark.parametrize("group", [1, 2, 4, 7])
@pytest.mark.parametrize("lag", [0, 1, 2, 5])
def test_a_host_within_its_lag_never_waits(lag: int, group: int):
    ring, device = make(Device, lag, group, strict=True)
    assert run(ring, device, 60, lag) == list(range(60))
    assert ring.waits == 0


@pytest.mark.parametrize("group", [1, 4])
def test_a_host_far_ahead_waits_and_tears_nothing(group: int):
    ring, device = make(Device, 2, group)
    assert run(ring, device, 60, 1000) == list(range(60))
    assert ring.waits > 0


@pytest.mark.parametrize("group", [1, 4])
def test_without_the_guard_the_same_run_is_torn(group: int):
    ring, device = make(Unguarded, 2, group)
    assert run(ring, device, 60, 1000) != list(range(60))


def test_strict_refuses_instead_of_waiting():
    ring, device = make(Device, 2, 1, strict=True)
    with pytest.raises(CallError, match="more than 2 steps ahead"):
        run(ring, device, 60, 1000)


def test_slots():
    assert [slots_for(lag, 1) for lag in (0, 1, 2, 5)] == [2, 3, 4, 7]
    assert [slots_for(lag, 4) for lag in (0, 2, 3, 4)] == [8, 8, 8, 12]


def test_copies_on_another_stream_are_guarded_too():
    ring, device = make(Device, 2, 4)
    for stream in (1, 1, 2, 2, 1):
        device.current = stream
        ring.begin()
        ring.commit()
    assert device.marks == [(0, 1), (0, 2)]


def test_a_stream_change_between_groups_needs_no_second_mark():
    ring, device = make(Device, 2, 2)
    for stream in (1, 1, 2, 2):
        device.current = stream
        ring.begin()
        ring.commit()
    assert device.marks == [(0, 1), (1, 2)]


def test_views_are_typed_and_fixed():
    ring, _ = make(Device, 1, 1)
    views = ring.begin()
    assert views["rows"].dtype == numpy.int32
    assert views["flags"].dtype == numpy.bool_
    assert views["count"].shape == (1,)
    addresses = {name: view.ctypes.data for name, view in views.items()}
    for _ in range(ring.slots):
        ring.begin()
        ring.commit()
    again = ring.begin()
    assert {name: view.ctypes.data for name, view in again.items()} == addresses
    assert ring.address("count") == 4096 + ring.layout.offsets["count"]
