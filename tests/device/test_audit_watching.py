"""Steps under the profiler on a GPU: every planted wait is found with its line, a clean loop has none."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import metaplan as mp
from metaplan.auditing import chrome
from metaplan.auditing.report import Report, report

pytestmark = pytest.mark.device

ROOT = Path(__file__).parents[2]
NAME = Path(__file__).name
kept: list[torch.Tensor] = []


@pytest.fixture(autouse=True)
def _forget():
    yield
    kept.clear()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def busy() -> torch.Tensor:
    """Some GPU work, so that there is something to wait for."""
    a = torch.ones(1024, 1024, device="cuda")
    return a @ a


def item():
    busy()[0, 0].item()


def tolist():
    busy()[0, :3].tolist()


def numpy():
    busy().cpu().numpy()


def nonzero():
    busy()[:3].nonzero()


def masked():
    a = busy()
    a[a > 3]


def truth():
    bool(busy()[0, 0] > 3)


def event_wait():
    busy()
    event = torch.cuda.Event()
    event.record()
    event.synchronize()


def stream_wait():
    busy()
    torch.cuda.current_stream().synchronize()


def device_wait():
    busy()
    torch.cuda.synchronize()


def from_list():
    torch.tensor([1, 2, 3], device="cuda")
    busy()


def pageable_in():
    torch.ones(1 << 20).to("cuda", non_blocking=True)
    busy()


def pageable_out():
    torch.empty(1 << 20).copy_(busy().view(-1), non_blocking=True)


def allocation():
    kept.append(torch.empty(48 << 20, dtype=torch.uint8, device="cuda"))
    busy()


def pinned_allocation():
    kept.append(torch.ones((5 << 20) + 4096 * len(kept)).pin_memory())
    busy()


PLANTED = {
    item: "wait",
    tolist: "wait",
    numpy: "wait",
    nonzero: "wait",
    masked: "wait",
    truth: "wait",
    event_wait: "wait",
    stream_wait: "wait",
    device_wait: "wait",
    from_list: "pageable copy",
    pageable_in: "pageable copy",
    pageable_out: "pageable copy",
    allocation: "allocation",
    pinned_allocation: "allocation",
}


def watched_steps(loop, steps: int = 4) -> Report:
    loop()
    with mp.watching() as watched:
        for _ in range(steps):
            loop()
            watched.step()
    return watched.report


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.__name__)
def test_what_is_planted_is_found_with_its_line(planted):
    told = watched_steps(planted)
    found = [one for one in told.findings if one.kind == PLANTED[planted]]
    assert found, str(told)
    first = planted.__code__.co_firstlineno
    lines = {f"{NAME}:{first + k} in {planted.__name__}" for k in range(1, 5)}
    assert lines & {line for one in found for line in one.stack[:1]}, found
    assert sum(one.count for one in found) >= 4, str(told)


@pytest.mark.parametrize("planted", [event_wait, device_wait, item])
def test_one_wait_is_told_once(planted):
    told = watched_steps(planted)
    waits = [one for one in told.findings if one.kind == "wait"]
    assert [one.count for one in waits] == [4], str(told)
    assert all(count.waits == 1 for count in told.counts)
    assert waits[0].us > 0


def graph_loop():
    """A graph of some kernels and a pinned copy behind each replay."""
    a, b = torch.ones(2048, 2048, device="cuda"), torch.empty(2048, 2048, device="cuda")
    pinned = torch.empty(2048, pin_memory=True)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.mm(a, a, out=b)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(8):
            torch.mm(a, a, out=b)

    def loop():
        graph.replay()
        pinned.copy_(b[0], non_blocking=True)

    return graph, loop


def test_a_graph_loop_is_clean_and_runs_ahead():
    _, loop = graph_loop()
    with mp.watching(skip=2) as watched:
        for _ in range(8):
            loop()
            watched.step()
    report = watched.report
    assert report.clean, str(report)
    assert len(report.steps) == 6
    for count in report.counts:
        assert (count.graph_launches, count.launches, count.waits) == (1, 0, 0)
        assert (count.device_to_host, count.pageable, count.allocations) == (1, 0, 0)
        assert count.kernels == report.counts[0].kernels >= 8
    assert report.lead is not None
    assert report.lead.run_ahead == 1, report.lead
    assert report.idle[0].share < 0.2, report.idle


def test_a_loop_that_waits_does_not_run_ahead():
    _, loop = graph_loop()

    def waits():
        loop()
        torch.cuda.synchronize()

    told = watched_steps(waits)
    assert told.lead is not None
    assert told.lead.run_ahead == 0
    assert told.lead.p50_us < 0


def test_single_launches_have_a_lead_too():
    a, b = torch.ones(4096, 4096, device="cuda"), torch.empty(4096, 4096, device="cuda")
    told = watched_steps(lambda: torch.mm(a, a, out=b), steps=6)
    assert told.clean, str(told)
    assert all(count.kernels >= 1 for count in told.counts)
    assert told.lead is not None
    assert told.lead.run_ahead == 1


def test_idle_share_tells_a_waiting_loop_from_one_that_runs_ahead():
    graph, step = graph_loop()
    found = mp.idle_share(step, graph.replay)
    assert found.gpu_us > 0
    assert found.idle < 0.3, str(found)

    def sleepy():
        step()
        torch.cuda.synchronize()
        time.sleep(0.01)

    assert mp.idle_share(sleepy, graph.replay).idle > 0.3


def test_a_trace_that_is_saved_says_the_same(tmp_path):
    item()
    with mp.watching() as watched:
        for _ in range(3):
            item()
            watched.step()
    watched.save(tmp_path / "trace.json.gz")
    again = report(chrome.read(tmp_path / "trace.json.gz"))
    assert again.findings == watched.report.findings
    assert again.counts == watched.report.counts


def test_the_fixture_passes_what_waits_for_nothing(sync_audit):
    a = torch.ones(8, device="cuda")
    sync_audit(lambda: a.add_(1))
    with sync_audit():
        a.add_(1)


def test_the_fixture_fails_what_waits(sync_audit):
    with pytest.raises(mp.SyncError, match=r"wait: .* at test_audit_watching\.py:\d+"):
        sync_audit(item)


def audit(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "metaplan", "audit", *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True)


def test_the_command_finds_the_lines_of_the_waiting_loop():
    done = audit("bench/loops/waiting.py", "--skip", "5", "--steps", "4", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    text = (ROOT / "bench/loops/waiting.py").read_text().splitlines()
    for kind, words in (
        ("wait", "tokens.tolist()"),
        ("wait", ".nonzero()"),
        ("pageable copy", "torch.tensor(lengths"),
    ):
        line = next(number for number, line in enumerate(text, 1) if words in line)
        found = [one for one in told["findings"] if one["kind"] == kind]
        assert any(
            stack.startswith(f"waiting.py:{line} in main")
            for one in found
            for stack in one["stack"][:1]
        ), (kind, words, found)
    assert told["steps"] == 4


def test_the_command_passes_the_loop_that_runs_ahead():
    words = ("--skip", "5", "--steps", "8", "--fail-on", "wait,pageable,alloc")
    done = audit("bench/loops/ahead.py", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing waited" in done.stdout


def test_the_commands_exit_code_for_a_test_of_a_loop():
    words = ("--skip", "5", "--steps", "4", "--fail-on", "wait")
    done = audit("bench/loops/waiting.py", *words)
    assert done.returncode == 1
    assert "--fail-on: wait found" in done.stderr
