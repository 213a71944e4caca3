"""What a recorder writes into a trace, without a GPU: marks, the user's lines, and nothing left behind."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

import metaplan as mp
from metaplan.auditing import allocations, chrome
from metaplan.auditing.finding import Finding
from metaplan.auditing.marking import METHODS, marked, touches_gpu, warned
from metaplan.auditing.marks import listening
from metaplan.auditing.profiled import once
from metaplan.auditing.record import Recorder
from metaplan.auditing.saturated import Saturated
from metaplan.auditing.stack import told
from metaplan.auditing.steps import steps, within
from metaplan.auditing.watching import Watched
from metaplan.errors import CallError

pytestmark = pytest.mark.null

NAME = Path(__file__).name
MESSAGE = "called a synchronizing CUDA operation (Triggered internally at x.cpp:1.)"


class Event:
    def synchronize(self, value: int) -> int:
        return value + 1


def wait(event: Event) -> int:
    return event.synchronize(1)


def wrapped() -> list[object]:
    """The functions of torch that a recorder wraps."""
    waits = [owner.synchronize for owner in (torch.cuda, torch.cuda.Event, torch.cuda.Stream)]
    return waits + [getattr(torch.Tensor, name) for name in (*METHODS, "pin_memory")]


def names(recorder: Recorder) -> list[str]:
    trace = chrome.parse(recorder.whole["traceEvents"], "x")
    return [mark.name for mark in trace.marks]


def test_a_step_lies_between_two_marks_and_calls_have_their_lines() -> None:
    recorder = Recorder(skip=1, most=2)
    event = Event()
    with recorder, listening(recorder.mark), marked(Event, "synchronize"):
        for _ in range(6):
            assert wait(event) == 2
            mp.audit_step()
    found = names(recorder)
    line = wait.__code__.co_firstlineno + 1
    spans = [name for name in found if name.startswith("metaplan.at")]
    assert len(spans) == 3, "the step in front warms the profiler up, nothing is behind the last"
    here = "test_a_step_lies_between_two_marks_and_calls_have_their_lines"
    assert spans[0].startswith(f"metaplan.at Event.synchronize | {NAME}:{line} in wait | {NAME}:")
    assert f"in {here}" in spans[0]
    assert [name for name in found if not name.startswith("metaplan.at")] == [
        "metaplan.begin", *["metaplan.step"] * 3, "metaplan.end",
    ]  # fmt: skip
    trace = chrome.parse(recorder.whole["traceEvents"], "x")
    inside = within(steps(trace), [m for m in trace.marks if m.name.startswith("metaplan.at")])
    assert [len(some) for some in inside] == [1, 1], "two steps were asked for"


def test_what_comes_before_the_first_mark_is_dropped() -> None:
    recorder = Recorder()
    with recorder, listening(recorder.mark), torch.profiler.record_function("early"):
        pass
    assert "early" in names(recorder)
    recorder = Recorder()
    with recorder, listening(recorder.mark):
        with torch.profiler.record_function("early"):
            pass
        mp.audit_step()
        with torch.profiler.record_function("late"):
            pass
    assert {"early", "late"} & set(names(recorder)) == {"late"}


def test_without_marks_all_is_one_step() -> None:
    recorder = Recorder()
    with recorder, listening(recorder.mark):
        torch.ones(3).sum()
    assert names(recorder) == ["metaplan.begin", "metaplan.end"]


def test_too_few_steps_for_the_skip() -> None:
    recorder = Recorder(skip=3)
    with recorder, listening(recorder.mark):
        for _ in range(4):
            mp.audit_step()
    with pytest.raises(CallError, match="3 steps were marked and 3 are to be skipped"):
        _ = recorder.whole


def test_torch_is_left_as_it_was_even_after_an_error() -> None:
    before, own, shown = wrapped(), set(vars(torch.Tensor)), warnings.showwarning
    recorder = Recorder()

    def failing() -> None:
        assert all(now is not then for now, then in zip(wrapped(), before, strict=True))
        raise KeyError

    with pytest.raises(KeyError), recorder, listening(recorder.mark):
        failing()
    assert wrapped() == before
    assert set(vars(torch.Tensor)) == own
    assert not {"item", "tolist", "cpu", "cuda"} & own, "torch.Tensor inherits these"
    assert warnings.showwarning is shown
    mp.audit_step()
    assert recorder.marks == 0, "nobody listens any more"


def test_tensors_of_the_host_are_not_marked() -> None:
    assert not touches_gpu(torch.ones(1))
    assert touches_gpu(torch.ones(1), "cuda")
    assert touches_gpu(torch.ones(1), device="cuda")


def test_torchs_warning_becomes_a_mark_and_others_stay() -> None:
    recorder = Recorder()
    with recorder, warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with warned():
            warnings.warn(MESSAGE, UserWarning, stacklevel=1)
            warnings.warn("Synchronization debug mode is a prototype", UserWarning, stacklevel=1)
            warnings.warn("another", UserWarning, stacklevel=1)
    assert [str(one.message) for one in seen] == ["another"]
    stamps = [name for name in names(recorder) if name.startswith("metaplan.waited")]
    assert len(stamps) == 1
    assert stamps[0].startswith(f"metaplan.waited | {NAME}:")


def test_the_allocators_notes_stand_on_the_clock_of_the_trace() -> None:
    frames = [
        {"filename": "/x/torch/nn/functional.py", "line": 9, "name": "linear"},
        {"filename": "/x/loop.py", "line": 4, "name": "decode"},
    ]
    entries = [
        {"action": "alloc", "time_us": 1010, "frames": frames},
        {"action": "segment_alloc", "time_us": 1020, "frames": frames},
        {"action": "segment_alloc", "time_us": 1030, "frames": frames[:1]},
    ]
    (note,) = allocations.notes(entries, base_us=1000.0)
    assert (note["ts"], note["name"]) == (20.0, "metaplan.allocated | loop.py:4 in decode")


def test_only_the_users_frames_are_told() -> None:
    own = str(Path(mp.__file__).parent / "runtime" / "step.py")
    frames = [("/x/torch/cuda/__init__.py", 1, "f"), (own, 2, "g"), ("/x/a.py", 3, "h")]
    assert told([*frames, ("<frozen runpy>", 4, "i")]) == ("a.py:3 in h",)
    assert told([("torch/cuda/streams.py", 1, "f")]) == ()


def test_a_wait_that_torch_and_the_driver_saw_is_told_once() -> None:
    seen = (
        Finding("wait", "item()", ("a.py:1 in f",)),
        Finding("wait", "Event.synchronize", ("a.py:2 in f",)),
        Finding("pageable copy", "host to device", ("a.py:3 in f",)),
        Finding("allocation", "cudaMalloc by torch's allocator", count=2),
    )
    driver = (
        Finding("allocation", "cudaHostAlloc"),
        Finding("allocation", "cudaMalloc", count=2),
        Finding("wait", "cudaEventSynchronize", count=1),
        Finding("wait", "cudaStreamSynchronize", count=3),
        Finding("pageable copy", "Memcpy HtoD (Pageable -> Device)"),
        Finding("pageable copy", "Memcpy DtoH (Device -> Pageable)"),
    )
    assert once(seen, driver) == (
        *seen,
        Finding("allocation", "cudaHostAlloc"),
        Finding("wait", "cudaStreamSynchronize", count=2),
        Finding("pageable copy", "Memcpy DtoH (Device -> Pageable)"),
    )


def test_a_report_is_there_when_the_region_is_over() -> None:
    watched = Watched(Recorder())
    for ask in (lambda: watched.report, lambda: watched.save("x.json")):
        with pytest.raises(CallError, match="still being watched"):
            ask()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_no_gpu_is_said() -> None:
    with pytest.raises(CallError, match="a sync audit needs a GPU"), mp.watching():
        pass
    with pytest.raises(CallError, match="a sync audit needs a GPU"):
        mp.idle_share(lambda: None, lambda: None)


def test_idle_by_saturation() -> None:
    found = Saturated(gpu_us=60.0, wall_us=80.0)
    assert found.idle == 0.25
    assert str(found) == "GPU idle 25.0%: 60.0 us of work in 80.0 us"


def moved(x: torch.Tensor) -> torch.Tensor:
    y = x.to(torch.float64) * 2
    z = torch.empty_like(y)
    z.copy_(y)
    return z.cpu() + 1


def test_compiled_functions_are_neither_broken_nor_compiled_again() -> None:
    compiled = 0

    def backend(graph, _):
        nonlocal compiled
        compiled += 1
        return graph.forward

    warm = torch.compile(moved, backend=backend, fullgraph=True)
    warm(torch.ones(3))
    with Recorder():
        assert warm(torch.ones(3)).tolist() == [3, 3, 3]
        assert compiled == 1
        new = torch.compile(lambda x: moved(x) * 3, backend=backend, fullgraph=True)
        assert new(torch.ones(3)).tolist() == [9, 9, 9]
    assert compiled == 2
    assert warm(torch.ones(3)).tolist() == [3, 3, 3]
    assert compiled == 2
