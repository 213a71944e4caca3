"""Launches, staging and buffers on a GPU: every way gives the same, and nothing compiles or moves."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import torch
import triton
import triton.language as tl

from metaplan.auditing.regions import assert_sync_free, audit
from metaplan.errors import CallError
from metaplan.runtime.buffers import allocate
from metaplan.runtime.compiled import compile_kernel, this_target
from metaplan.runtime.launch import Launch, Sequence, Staged
from metaplan.runtime.layout import Field
from metaplan.runtime.movers import Driver, Torch, mover_for
from metaplan.runtime.pull import Pull
from metaplan.runtime.staging import Ring
from tests.adding import TYPES, add

pytestmark = pytest.mark.device

WAYS = ("driver", "graph", "triton")
ROWS, BLOCK = 1000, 128
FIELDS = (Field("values", "i32", (ROWS,)), Field("count", "i32"))


@triton.jit
def double(out, of, n, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + row, tl.load(of + row, mask=row < n, other=0) * 2, mask=row < n)


@triton.jit
def keep(log, turn, values, n, BLOCK: tl.constexpr):
    """Writes whether all values agree, and the first of them, at the turn's place of a log."""
    row = tl.arange(0, BLOCK)
    value = tl.load(values + row, mask=row < n, other=0)
    first = tl.load(values)
    agree = tl.sum(tl.where((row < n) & (value != first), 1, 0), 0) == 0
    at = tl.load(turn)
    tl.store(log + at, tl.where(agree, first, -1))
    tl.debug_barrier()
    tl.store(turn, at + 1)


def kernel(fn, types, **constants):
    return compile_kernel(fn, types, constants, target=this_target("cuda"))


def grid() -> int:
    return triton.cdiv(ROWS, BLOCK)


def tensors() -> dict[str, object]:
    return {
        "out": torch.full((ROWS,), -7, dtype=torch.int32, device="cuda"),
        "values": torch.arange(ROWS, dtype=torch.int32, device="cuda"),
        "count": torch.tensor([700], dtype=torch.int32, device="cuda"),
        "more": 10,
    }


def expected(count: int = 700, more: int = 10) -> torch.Tensor:
    out = torch.full((ROWS,), -7, dtype=torch.int32)
    out[:count] = torch.arange(count, dtype=torch.int32) + more
    return out


def simple(way: str) -> tuple[Sequence, dict[str, object]]:
    given = tensors()
    compiled = kernel(add, TYPES, BLOCK=BLOCK)
    return Sequence((Launch(compiled, grid(), given),), "cuda", way=way), given


def staged(way: str, mover: type = Driver, *, lag: int = 2, group: int = 4):
    compiled = kernel(add, TYPES, BLOCK=BLOCK)
    ring = Ring(FIELDS, partial(mover, device="cuda"), lag=lag, group=group)
    out = torch.full((ROWS,), -7, dtype=torch.int32, device="cuda")
    given = {"out": out, "values": Staged("values"), "count": Staged("count"), "more": 10}
    return Sequence((Launch(compiled, grid(), given),), "cuda", ring=ring, way=way), ring, out


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_the_same(way: str):
    sequence, given = simple(way)
    sequence.launch()
    assert torch.equal(given["out"].cpu(), expected())


@pytest.mark.parametrize("way", WAYS)
def test_launches_run_in_order(way: str):
    given = tensors()
    twice = torch.zeros(ROWS, dtype=torch.int32, device="cuda")
    doubling = kernel(double, {"out": "*i32", "of": "*i32", "n": "i32"}, BLOCK=BLOCK)
    sequence = Sequence(
        (
            Launch(kernel(add, TYPES, BLOCK=BLOCK), grid(), given),
            Launch(doubling, grid(), {"out": twice, "of": given["out"], "n": ROWS}),
        ),
        "cuda",
        way=way,
    )
    for count in (700, 3, 999):
        given["out"].fill_(-7)
        given["count"].fill_(count)
        sequence.launch()
        assert torch.equal(twice.cpu(), expected(count) * 2)


@pytest.mark.parametrize("way", WAYS)
def test_the_current_stream_is_used(way: str):
    sequence, given = simple(way)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)
        given["count"].fill_(5)
        sequence.launch()
    torch.cuda.synchronize()
    assert torch.equal(given["out"].cpu(), expected(5))
    sequence.launch()
    assert torch.equal(given["out"].cpu(), expected(5))


@pytest.mark.parametrize("way", WAYS)
def test_a_thread_that_never_touched_the_device_can_launch(way: str):
    sequence, given = simple(way)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            sequence.launch()
        except RuntimeError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed
    assert torch.equal(given["out"].cpu(), expected())


@pytest.mark.parametrize("way", WAYS)
def test_no_integer_and_no_alignment_compiles_anything(way: str):
    seen: list[object] = []
    sequence, given = simple(way)
    before = triton.knobs.compilation.listener
    triton.knobs.compilation.listener = lambda **told: seen.append(told)
    try:
        for more in (1, 16, 0, -5, 2**31 - 1):
            given["out"].fill_(-7)
            sequence.rebind("more", more)
            given["count"].fill_(1)
            sequence.launch()
            assert int(given["out"][0]) == more
        odd = torch.full((ROWS + 1,), -7, dtype=torch.int32, device="cuda")[1:]
        given["count"].fill_(700)
        sequence.rebind("out", odd)
        sequence.rebind("more", 10)
        sequence.launch()
        assert torch.equal(odd.cpu(), expected())
    finally:
        triton.knobs.compilation.listener = before
    assert not seen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mover", [Torch, Driver, Pull])
def test_staged_values_arrive(way: str, mover: type):
    sequence, ring, out = staged(way, mover)
    for step in range(20):
        views = ring.begin()
        views["values"][:] = range(step, step + ROWS)
        views["count"][0] = 700
        sequence.launch()
    assert torch.equal(out.cpu(), torch.where(expected() == -7, -7, expected() + 19))


@pytest.mark.parametrize("way", WAYS)
def test_recorded_into_a_graph_and_replayed(way: str):
    sequence, ring, out = staged(way)
    graph = torch.cuda.CUDAGraph()
    ring.begin()["count"][0] = 0
    ring.commit()
    sequence.record()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        sequence.record()
    for step in range(20):
        views = ring.begin()
        views["values"][:] = range(step, step + ROWS)
        views["count"][0] = 700
        ring.commit()
        graph.replay()
        assert torch.equal(out.cpu(), torch.where(expected() == -7, -7, expected() + step))


@pytest.mark.parametrize("way", ["driver", "graph"])
@pytest.mark.parametrize("mover", [Torch, Driver, Pull])
def test_a_host_far_ahead_tears_nothing(way: str, mover: type):
    steps, width = 300, 4096
    log = torch.full((steps,), -2, dtype=torch.int32, device="cuda")
    turn = torch.zeros(1, dtype=torch.int32, device="cuda")
    ring = Ring((Field("values", "i32", (width,)),), partial(mover, device="cuda"), lag=2)
    types = {"log": "*i32", "turn": "*i32", "values": "*i32", "n": "i32"}
    given = {"log": log, "turn": turn, "values": Staged("values"), "n": width}
    sequence = Sequence(
        (Launch(kernel(keep, types, BLOCK=width), 1, given),), "cuda", ring=ring, way=way
    )
    torch.cuda._sleep(50_000_000)
    for step in range(steps):
        ring.begin()["values"][:] = step
        sequence.launch()
        if step % 7 == 0:
            torch.cuda._sleep(100_000)
    assert ring.waits > 0
    assert log.tolist() == list(range(steps))


@pytest.mark.filterwarnings("ignore:The CUDA Graph is empty")
@pytest.mark.parametrize("way", WAYS)
def test_a_staged_step_is_refused_under_capture(way: str):
    sequence, ring, _ = staged(way)
    ring.begin()["count"][0] = 0
    sequence.launch()
    ring.begin()
    refused: list[CallError] = []
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            try:
                sequence.launch()
            except CallError as error:
                refused.append(error)
    except RuntimeError:
        assert way == "graph", "only a refused graph launch spoils the capture"
    assert "being captured" in str(refused[0])
    assert "step.emit()" in str(refused[0])


@pytest.mark.parametrize("way", ["driver", "graph"])
def test_two_streams_in_turn_tear_nothing(way: str):
    sequence, ring, out = staged(way)
    sides = [torch.cuda.Stream(), torch.cuda.Stream()]
    for step in range(60):
        with torch.cuda.stream(sides[step % 2]):
            sides[step % 2].wait_stream(sides[(step + 1) % 2])
            torch.cuda._sleep(200_000)
            views = ring.begin()
            views["values"][:] = range(step, step + ROWS)
            views["count"][0] = 700
            sequence.launch()
    torch.cuda.synchronize()
    assert torch.equal(out.cpu(), torch.where(expected() == -7, -7, expected() + 59))


@pytest.mark.parametrize("way", WAYS)
def test_a_step_is_sync_free(way: str):
    sequence, ring, _ = staged(way, lag=32)
    values = torch.arange(ROWS, dtype=torch.int32).numpy()

    def step() -> None:
        views = ring.begin()
        views["values"][:] = values
        views["count"][0] = 700
        sequence.launch()

    found = assert_sync_free(step)
    assert found.clean
    with assert_sync_free():
        step()
    step()
    torch.cuda.synchronize()
    assert ring.waits == 0


def test_the_cheapest_mover_is_chosen_by_size():
    movers = {
        words: Ring((Field("a", "i32", (words,)),), mover_for("cuda")).mover for words in (8, 5000)
    }
    assert {words: type(mover) for words, mover in movers.items()} == {8: Driver, 5000: Pull}


def test_outputs_on_the_device_keep_their_addresses():
    buffers = allocate((Field("a", "i32", (77,)), Field("b", "i64", (5, 5))), "cuda")
    before = [tensor.data_ptr() for tensor in buffers.values()]
    compiled = kernel(double, {"out": "*i32", "of": "*i32", "n": "i32"}, BLOCK=BLOCK)
    source = torch.arange(77, dtype=torch.int32, device="cuda")
    sequence = Sequence(
        (Launch(compiled, 1, {"out": buffers["a"], "of": source, "n": 77}),), "cuda"
    )
    for _ in range(5):
        sequence.launch()
    assert [tensor.data_ptr() for tensor in buffers.values()] == before
    assert buffers["a"].tolist() == [2 * row for row in range(77)]
    assert not buffers["b"].any()


def test_an_audit_counts_the_driver_calls_of_a_step():
    sequence, _ = simple("driver")
    found = audit(sequence.launch)
    assert found.clean, str(found)
    assert sum(found.calls.values()) == 1, found.calls
