# pyright: basic
"""A mark orders two streams, on every way to make one."""

from __future__ import annotations

import threading

import pytest
import torch

from metaplan.runtime.marks import Driver, Torch, mark_for

pytestmark = pytest.mark.device
LONG = 200_000_000
"""Clock ticks: a tenth of a second."""


def late(stream, value):
    """Writes 7 into ``value`` on ``stream`` after a long time."""
    with torch.cuda.stream(stream):
        torch.cuda._sleep(LONG)
        value.fill_(7)


def seen(stream, value):
    """What another stream reads there, in its order."""
    with torch.cuda.stream(stream):
        return value.clone()


@pytest.mark.parametrize("kind", [Driver, Torch])
def test_what_is_queued_behind_waits(kind):
    one, other = torch.cuda.Stream(), torch.cuda.Stream()
    value = torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    mark = kind(value.device)
    mark.hold(other.cuda_stream)  # nothing was recorded: nobody waits
    late(one, value)
    before = seen(other, value)
    mark.record(one.cuda_stream)
    mark.hold(other.cuda_stream)
    after = seen(other, value)
    torch.cuda.synchronize()
    assert before.item() == 0
    assert after.item() == 7


@pytest.mark.parametrize("kind", [Driver, Torch])
def test_the_default_stream_and_a_thread_without_a_context(kind):
    value, beside = torch.zeros(1, device="cuda"), torch.cuda.Stream()
    torch.cuda.synchronize()
    mark, out = kind(value.device), []
    late(torch.cuda.default_stream(), value)

    def order():
        mark.record(torch.cuda.default_stream().cuda_stream)
        mark.hold(beside.cuda_stream)
        out.append(seen(beside, value))

    thread = threading.Thread(target=order)
    thread.start()
    thread.join()
    torch.cuda.synchronize()
    assert out[0].item() == 7


def test_the_drivers_is_taken_where_it_is_there():
    assert isinstance(mark_for("cuda"), Torch if torch.version.hip else Driver)
