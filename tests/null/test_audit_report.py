"""What is read off a trace: steps, waits with their lines, counts, idle time and lead."""

from __future__ import annotations

import pytest
import traced
from traced import HOST, Made, ahead, waiting

from metaplan.auditing import chrome
from metaplan.auditing.finding import Finding, together
from metaplan.auditing.idle import idle, union
from metaplan.auditing.lead import lead
from metaplan.auditing.lines import spelled
from metaplan.auditing.report import Report, report
from metaplan.auditing.steps import Step, steps
from metaplan.auditing.trace import KERNEL, Trace, Work
from metaplan.auditing.waits import findings
from metaplan.errors import CallError

pytestmark = pytest.mark.null


def read(made: Made) -> Trace:
    return chrome.parse(made.events, "made.json")


def reported(made: Made, skip: int = 0) -> Report:
    return report(read(made), skip)


def found(made: Made) -> tuple[Finding, ...]:
    trace = read(made)
    return findings(trace, steps(trace))


def work(start: float, end: float, kind: str = KERNEL, device: int = 0) -> Work:
    return Work("some", kind, start, end, device, 7, 0)


def test_a_loop_that_waits() -> None:
    told = reported(waiting(4))
    assert told.step_us == 100
    assert not told.clean
    wait, copy = told.findings
    lines = ("loop.py:12 in sample", "loop.py:30 in <module>")
    assert wait == Finding("wait", "cudaStreamSynchronize", lines, 4, 4 * 39, "Tensor.item")
    assert copy == Finding(
        "pageable copy", "Memcpy DtoH (Device -> Pageable)", lines, 4, 4 * 5, "Tensor.item"
    )
    a_step = dict.fromkeys(told.a_step(), 0.0) | {
        "launches": 1,
        "kernels": 1,
        "device_to_host": 1,
        "pageable": 1,
        "waits": 1,
    }
    assert told.a_step() == a_step
    (gpu,) = told.idle
    assert gpu.window_us == 342
    assert gpu.share == pytest.approx(1 - 4 * 42 / 342)
    assert gpu.kernels_share == pytest.approx(1 - 4 * 40 / 342)
    assert (gpu.gaps, gpu.gap_p50_us, gpu.gap_max_us) == (3, 58, 58)
    assert told.gpu_us == 42
    assert told.lead is not None
    assert told.lead.us == (54 - 105,) * 3
    assert told.lead.run_ahead == 0


def test_a_loop_that_runs_ahead() -> None:
    told = reported(ahead(4))
    assert told.clean
    assert told.a_step()["graph_launches"] == 1
    assert told.a_step()["kernels"] == 2
    assert told.idle[0].share == pytest.approx(0)
    assert told.lead is not None
    # Step n is done at 90 + 80 n; step n + 1 is launched at 22 + 20 n.
    assert told.lead.us == (68, 128, 188)
    assert (told.lead.p50_us, told.lead.min_us, told.lead.run_ahead) == (128, 68, 1)
    assert "nothing waited" in str(told)


def test_steps_that_are_skipped_count_nowhere() -> None:
    all_, some = reported(waiting(4)), reported(waiting(4), skip=3)
    assert (all_.findings[0].count, some.findings[0].count) == (4, 1)
    assert some.idle[0].window_us == 42
    assert some.lead is None
    with pytest.raises(CallError, match="4 steps were marked and 4 are to be skipped"):
        reported(waiting(4), skip=4)


def test_work_counts_for_the_step_that_launched_it() -> None:
    """The last of four steps is launched at 62 and runs from 250 on: alone it has 80 us of work."""
    told = reported(ahead(4), skip=3)
    assert told.idle[0].window_us == 80
    assert told.a_step()["kernels"] == 2


def test_the_steps_of_torchs_own_schedule() -> None:
    made = Made()
    for step in range(2):
        made.mark(f"ProfilerStep#{step}", 10.0 * step, 10.0 * step + 9)
        made.work("k", 2, 3, made.call("cudaLaunchKernel", 10.0 * step + 1, 10.0 * step + 2))
    assert steps(read(made)) == (Step(0, 9), Step(10, 19))


def test_without_marks_the_trace_is_one_step_and_the_profilers_wait_is_left_out() -> None:
    made = Made()
    made.work("k", 2, 8, made.call("cudaLaunchKernel", 0, 1))
    made.call("cudaEventSynchronize", 2, 5)
    made.call("cudaDeviceSynchronize", 6, 9)
    assert steps(read(made)) == (Step(0, 6),)
    assert [one.call for one in found(made)] == ["cudaEventSynchronize"]


def test_what_a_recorder_waits_for_is_no_wait_of_the_region() -> None:
    made = Made()
    made.call("cudaDeviceSynchronize", 0, 3)
    made.mark("metaplan.begin", 4, 5)
    made.work("k", 7, 8, made.call("cudaLaunchKernel", 6, 7))
    made.mark("metaplan.end", 9, 10)
    made.call("cudaDeviceSynchronize", 11, 12)
    assert steps(read(made)) == (Step(5, 9),)
    assert found(made) == ()


def test_a_driver_wait_that_only_the_driver_reports() -> None:
    """Its correlation is known to no call; one that belongs to a call is that call."""
    made = Made()
    made.work("k", 2, 8, made.call("cudaLaunchKernel", 0, 1))
    known = made.call("cudaStreamSynchronize", 10, 20)
    made.add("cuda_sync", "Stream Sync", 11, 19, correlation=known)
    launch = made.call("cudaMemcpyAsync", 40, 41)
    made.add("cuda_sync", "Stream Sync", 41, 42, correlation=launch)
    made.add("cuda_sync", "Stream Wait Event", 21, 22, correlation=901)
    made.add("cuda_sync", "Context Sync", 30, 37, correlation=900)
    assert [(one.call, one.us) for one in found(made)] == [
        ("cudaStreamSynchronize", 10),
        ("Context Sync", 7),
    ]


def test_a_warning_takes_the_last_wait_inside_an_operator() -> None:
    """aten::nonzero waits and torch warns behind it; the wait before it is another library's."""
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.call("cudaEventSynchronize", 5, 7)
    made.add("cpu_op", "aten::nonzero", 10, 20)
    made.add("cpu_op", "aten::copy_", 11, 19)
    made.call("cudaStreamSynchronize", 12, 18)
    made.mark("metaplan.waited | rows.py:7 in pick", 21)
    wait, other = found(made)
    assert (wait.asked, wait.stack) == ("aten::nonzero", ("rows.py:7 in pick",))
    assert (other.call, other.stack) == ("cudaEventSynchronize", ())


def test_a_copy_has_the_line_of_the_wait_of_its_operator() -> None:
    """torch.tensor([...], device="cuda"): a pageable copy and a wait in one operator, one warning."""
    made = Made()
    for at, pageable in ((0, True), (50, True), (100, False)):
        made.add("cpu_op", "aten::to", at + 1, at + 20)
        copy = made.call("cudaMemcpyAsync", at + 2, at + 5)
        made.work("Memcpy HtoD (Pageable -> Device)", at + 4, at + 6, copy)
        if pageable:
            made.call("cudaStreamSynchronize", at + 6, at + 9)
            made.mark("metaplan.waited | batch.py:3 in prepare", at + 21)
    told = {(one.kind, one.stack): one.count for one in found(made)}
    assert told == {
        ("wait", ("batch.py:3 in prepare",)): 2,
        ("pageable copy", ("batch.py:3 in prepare",)): 2,
        ("pageable copy", ()): 1,
    }


def test_each_warning_takes_the_wait_right_before_it() -> None:
    """The first wait is of a custom operator, of which torch does not warn; it has no line."""
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    for at, op in ((10, "theirs::op"), (30, "aten::unique")):
        made.add("cpu_op", op, at, at + 10)
        made.call("cudaStreamSynchronize", at + 1, at + 9)
    made.mark("metaplan.waited | rows.py:7 in pick", 41)
    assert {one.asked: one.stack for one in found(made)} == {
        "theirs::op": (),
        "aten::unique": ("rows.py:7 in pick",),
    }


def test_a_wait_outside_operators_takes_no_warning() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.add("cpu_op", "aten::nonzero", 2, 9)
    made.call("cudaStreamSynchronize", 3, 8)
    made.call("cudaEventSynchronize", 10, 11)
    made.mark("metaplan.waited | rows.py:7 in pick", 12)
    assert {one.call: one.stack for one in found(made)} == {
        "cudaStreamSynchronize": ("rows.py:7 in pick",),
        "cudaEventSynchronize": (),
    }


def test_a_mark_that_is_over_before_its_call_is_says_nothing() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.mark("metaplan.at Tensor.item | a.py:1 in f", 2, 9)
    made.call("cudaStreamSynchronize", 5, 20)
    assert found(made)[0].stack == ()


def test_operators_are_named_by_the_outermost() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.add("cpu_op", "aten::item", 2, 10)
    made.add("cpu_op", "aten::_local_scalar_dense", 3, 9)
    made.call("cudaStreamSynchronize", 4, 8)
    assert [op.name for op in read(made).ops] == ["aten::item"]
    assert found(made)[0].asked == "aten::item"


def test_work_of_a_call_that_nobody_saw_counts_where_it_ran() -> None:
    made = waiting(2)
    made.work("theirs", 170, 190, correlation=999)
    assert [one.kernels for one in reported(made).counts] == [1, 2]


def test_a_warning_inside_a_marked_call_is_that_call() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.add("cpu_op", "aten::nonzero", 2, 4)
    made.call("cudaStreamSynchronize", 2.5, 3.5)
    made.mark("metaplan.at Tensor.item | a.py:1 in f", 10, 20)
    made.add("cpu_op", "aten::item", 11, 15)
    made.call("cudaStreamSynchronize", 12, 14)
    made.mark("metaplan.waited | a.py:1 in f", 16)
    assert {(one.asked, one.stack) for one in found(made)} == {
        ("Tensor.item", ("a.py:1 in f",)),
        ("aten::nonzero", ()),
    }


def test_an_allocation_takes_the_nearest_note() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.call("cudaMalloc", 95, 98)  # another library's: the note near it has a nearer call
    made.call("cudaMalloc", 100, 140)
    made.call("cudaMalloc", 5000, 5050)
    made.call("cudaHostAlloc", 90_000, 90_010)
    made.mark("metaplan.allocated | d.py:4 in i", 99_000)
    made.call("cudaMalloc", 5052, 5072)
    made.mark("metaplan.allocated | a.py:1 in f", 141)
    made.mark("metaplan.allocated | b.py:2 in g", 5051)
    made.mark("metaplan.allocated | c.py:3 in h", 5090)
    told = {one.us: one.stack for one in found(made)}
    assert told == {
        3: (),
        40: ("a.py:1 in f",),
        50: ("b.py:2 in g",),
        20: ("c.py:3 in h",),
        10: (),
    }
    assert {one.kind for one in found(made)} == {"allocation"}


def test_frames_of_python_say_the_function() -> None:
    made = Made()
    made.add("python_function", "loop.py(1): <module>", 0, 100)
    made.add("python_function", "loop.py(3): decode", 1, 90)
    made.add("python_function", "torch/cuda/__init__.py(9): synchronize", 2, 80)
    made.add("python_function", "<built-in method f of type object>", 3, 70)
    made.add("python_function", "loop.py(50): later", 91, 95)
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.call("cudaStreamSynchronize", 4, 60)
    assert found(made)[0].stack == ("loop.py:3 in decode", "loop.py:1 in <module>")


def test_a_mark_of_another_thread_says_nothing() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("cudaLaunchKernel", 0, 1))
    made.mark("metaplan.at Tensor.item | a.py:1 in f", 2, 90)
    made.events[-1]["tid"] = HOST + 1
    made.call("cudaStreamSynchronize", 4, 60)
    assert found(made)[0].stack == ()


def test_hip_waits_too() -> None:
    made = Made()
    made.work("k", 0, 1, made.call("hipLaunchKernel", 0, 1))
    made.call("hipStreamSynchronize", 2, 3)
    made.call("hipMalloc", 4, 6)
    assert [one.kind for one in found(made)] == ["allocation", "wait"]


def test_a_union_counts_no_moment_twice() -> None:
    works = [work(0, 10), work(5, 12), work(20, 25), work(21, 22), work(25, 26)]
    assert union(works) == [(0, 12), (20, 26)]
    (gpu,) = idle(works)
    assert gpu.share == pytest.approx(1 - 18 / 26)
    assert (gpu.gaps, gpu.gap_max_us) == (1, 8)


def test_devices_are_idle_each_for_itself() -> None:
    first, second = idle([work(0, 10), work(90, 100, device=1), work(20, 30)])
    assert (first.device, second.device) == (0, 1)
    assert first.share == pytest.approx(1 / 3)
    assert second.share == 0


def test_lead_is_of_single_launches_too() -> None:
    """Of the first launch of a step, and of the end of its last work on whatever stream."""
    made = Made()
    for step in range(3):
        at = 10.0 * step
        made.mark("metaplan.step", at)
        for part in range(2):
            launch = made.call("cudaLaunchKernel", at + 2 * part, at + 2 * part + 1)
            made.work("k", 30 * step + 10 * part, 30 * step + 25 * part + 5, launch, stream=part)
    made.mark("metaplan.step", 30)
    trace = read(made)
    told = lead(trace, steps(trace))
    assert told is not None
    assert told.us == (30 - 10, 60 - 20)


def test_equal_findings_are_one() -> None:
    one, other = Finding("wait", "a", ("x",), 1, 2.0), Finding("wait", "a", ("y",), 1, 9.0)
    assert together([one, other, one]) == (other, Finding("wait", "a", ("x",), 2, 4.0))


def test_a_line_survives_its_own_separator() -> None:
    assert (
        spelled("metaplan.at", ('a|"b".py:1 in f',), "T.x") == "metaplan.at T.x | a/'b'.py:1 in f"
    )


def test_a_saved_trace_says_the_same_and_nothing_of_the_machine(tmp_path) -> None:
    made = waiting(3)
    whole = made.whole() | {"host_name": "secret", "traceName": "/secret/place.json"}
    whole["traceEvents"][-1]["args"]["path"] = "/secret/kernel.py"
    whole["traceEvents"] += [{"ph": "s", "cat": "ac2g", "id": 1, "ts": 1, "name": "ac2g"}]
    for name in ("trace.json", "trace.json.gz"):
        chrome.save(whole, tmp_path / name)
        again = chrome.read(tmp_path / name)
        assert again.name == name
        assert (again.calls, again.works, again.marks) == (
            *(read(made).calls, read(made).works, read(made).marks),
        )
    assert "secret" not in (tmp_path / "trace.json").read_text()
    assert "ac2g" not in (tmp_path / "trace.json").read_text()


def test_traces_are_reproducible(tmp_path) -> None:
    for name in ("a.json.gz", "b.json.gz"):
        chrome.save(traced.ahead(3).whole(), tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
