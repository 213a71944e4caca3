# pyright: basic
"""Each hazard of a loop that does not wait, provoked: guarded it does no harm, unguarded it does."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
import torch

import metaplan as mp
from metaplan import i32
from metaplan.runtime.layout import Field
from metaplan.runtime.movers import mover_for
from metaplan.runtime.staging import Ring
from tests.loop.models import Memory, mix, plain

pytestmark = pytest.mark.device
ASLEEP = 60_000_000
"""Cycles: some 30 ms, longer than anything here takes on the host."""


# ------------------------------------------------- write after read on staging


def staged(guarded: bool) -> list[int]:
    """What the GPU reads of each step, when the host writes far ahead of a GPU that sleeps."""
    device = torch.device("cuda")
    ring = Ring([Field("x", "i32", (4,))], mover_for(device), lag=2)
    if not guarded:
        ring.mover.done = lambda group: True
    steps = 3 * ring.slots
    read = torch.zeros(steps, 4, dtype=torch.int32, device=device)
    block = ring.mover.block[:16].view(torch.int32)
    torch.cuda.synchronize()
    torch.cuda._sleep(ASLEEP)
    for step in range(steps):
        ring.begin()["x"][:] = step
        ring.commit()
        read[step].copy_(block)
    torch.cuda.synchronize()
    return read[:, 0].tolist()


def test_a_slot_that_is_still_read_is_not_written():
    assert staged(guarded=True) == list(range(len(staged(guarded=True))))


def test_without_the_event_a_slot_is_torn():
    assert staged(guarded=False) != list(range(len(staged(guarded=False))))


# ------------------------------------------------------------ reuse of pages


def reused(fenced: bool) -> tuple[list[int], list[int]]:
    """A request is ended while a step of it sleeps on the GPU; the next one's prompt comes on another stream."""
    page, prompt = 4, [5, 7, 11]
    loop = mp.Loop(rows=2, pages=3, page=page, longest=8, lag=3, vocabulary=97, fenced=fenced)
    model = Memory(pages=3, page=page, device="cuda")
    loop.capture(model)
    first = loop.admit(length=0, token=1, most=8)
    loop.step()
    torch.cuda.synchronize()
    torch.cuda._sleep(ASLEEP)
    loop.step()
    loop.step()
    loop.finish(first)
    other = torch.cuda.Stream()
    if not loop.fits(len(prompt), 4):
        loop.drain()
    request = loop.admit(length=len(prompt), token=0, most=4)
    slots = request.slots(0, len(prompt))
    with torch.cuda.stream(other):
        place = torch.arange(len(prompt), device="cuda")
        values = mix(torch.tensor(prompt, device="cuda"), place)
        model.cache[torch.from_numpy(slots).cuda(non_blocking=False)] = values
    torch.cuda.current_stream().wait_stream(other)
    token = int((values * (place % 13 + 1)).sum()) % 97
    loop.flush()
    loop.state.last_tokens[request.row : request.row + 1].fill_(token)
    out = [token]
    while loop.busy:
        for done, tokens, _ in loop.step():
            if done is request:
                out += tokens
    return out, plain(prompt, 5)


def test_pages_come_back_after_the_steps_that_write_to_them():
    out, wanted = reused(fenced=True)
    assert out == wanted


def test_without_the_fence_an_overshooting_step_writes_into_the_next_prompt():
    out, wanted = reused(fenced=False)
    assert out != wanted


# --------------------------------------------------------- warm-up and capture


def counted(guarded: bool) -> int:
    """How often a state was counted up after a warm-up, a capture and one replay."""

    @mp.plan
    def counter(state: Annotated[i32, "row", mp.between(0, 1 << 20), mp.STATE]):
        row = mp.axis("row")
        return dict(state=mp.update(state[row], mp.minimum(state[row] + 1, 1 << 20)))

    state = torch.zeros(8, dtype=torch.int32, device="cuda")
    step = counter.compile(row=8)
    step.bind(state=state, row=torch.tensor([8], dtype=torch.int32, device="cuda"))
    emit = step.emit if guarded else step.plain.record  # pyright: ignore[reportAttributeAccessIssue]
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        emit()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        emit()
    graph.replay()
    return int(state[0])


def test_a_warm_up_applies_no_state():
    assert counted(guarded=True) == 1


def test_a_plain_launch_in_the_warm_up_would():
    assert counted(guarded=False) == 2


# ------------------------------------------------------------------ the bound


def test_a_host_that_believes_too_little_is_told_by_the_device():
    loop = mp.Loop(rows=2, pages=20, page=4, longest=40, drafts=3, lag=2, vocabulary=3)
    model = Memory(pages=20, page=4, device="cuda", words=3, drafts=3)
    loop.capture(model, drafted=True)
    request = loop.admit(length=0, token=1, most=40)
    loop.step()
    assert loop.flags() == {}
    loop.host.known[request.row] -= np.int64(12)
    for _ in range(6):
        loop.step()
    assert sum(loop.flags().values()) > 0
