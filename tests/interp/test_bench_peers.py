# pyright: basic
"""What bench.peers does with its processes and its lines, and what the report says of them; no engine is needed."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import pytest

from bench import peers, report
from bench.loops_of import LoopResults
from bench.peers import Job, Run, jobs, joined, line
from bench.peers_of import PeerResults, summary
from bench.processes import Worker, context, side_by_side
from bench.results_of import Results

pytestmark = pytest.mark.interp
UNTIMED = LoopResults.read(Path("nowhere"))
COUNTS = {"host_to_device": 0.0, "device_to_host": 0.0, "device_to_device": 0.0, "memsets": 0.0}
OURS = {"launches": 1.0, "synchronizations": 0.0, **COUNTS}
THEIRS = {**OURS, "launches": 7.0, "host_to_device": 2.0, "synchronizations": 1.0}
TIMED = {"ours": {"cpu_us": 2.0, "cpu_us_host": 6.0}, "theirs": {"cpu_us": 200.0}}
RECORDED = {"ours": {**TIMED["ours"], "gpu_us": 2.0}, "theirs": {"cpu_us": 200.0, "gpu_us": 16.0}}


# -------------------------------------------------------------------- processes


@pytest.fixture(scope="module")
def made():
    return context()


def test_a_worker_outlives_what_its_jobs_do(made):
    worker = Worker(dict, made)
    assert worker.run([("a", 1)], 20) == {"a": 1}
    assert worker.run(3, 20)["error"].startswith("TypeError")
    assert worker.run([("a", 2)], 20) == {"a": 2}
    worker.close()
    ends = Worker(os._exit, made)
    assert ends.run(3, 20) == {"error": "its process ended (3)"}
    assert ends.run(4, 20) == {"error": "its process ended (4)"}
    hangs = Worker(time.sleep, made)
    assert hangs.run(20, 0.5) == {"error": "took more than 0.5 s"}


def test_a_broken_device_gets_a_new_process(made):
    worker = Worker(dict, made)
    worker.run([], 20)
    before = worker._process.pid
    assert "CUDA error" in worker.run([("error", "CUDA error: an illegal access")], 20)["error"]
    worker.run([], 20)
    assert worker._process.pid != before
    worker.close()


def test_jobs_side_by_side_come_back_in_order(made):
    assert side_by_side([[("n", n)] for n in range(5)], dict, made, 2, 20, 20) == [
        {"n": n} for n in range(5)
    ]
    assert side_by_side([[("n", 1)]], dict, made, 1, 0.0, 20) == [None]


# ------------------------------------------------------------------------ cells


def test_the_cells_that_matter_most_come_first():
    assert jobs(["a", "b"], (1, 2, 256), (1, 4)) == [
        Job(name, batch, query) for query in (4, 1) for batch in (256, 1, 2) for name in ("a", "b")
    ]


def test_stages_are_joined_to_one_row():
    row = joined(
        {"checked": True, "ours": OURS, "theirs": THEIRS, "took_s": 2.0},
        None,
        {"checked": True, **RECORDED, "gpu_by": "graph", "took_s": 1.5},
    )
    assert row["ours"] == {**OURS, **RECORDED["ours"]}
    assert row["ratio"] == {"cpu_us": 0.01, "gpu_us": 0.125}
    assert row["took_s"] == 3.5
    assert "launches 7 -> 1" in line(Job("a", 16, 4), row)
    wrong = joined({"checked": True}, {"checked": False, "wrong": ["positions[0]: ours 1"]})
    assert not wrong["checked"]
    assert "WRONG positions[0]" in line(Job("a", 16, 4), wrong)
    assert joined({"error": "no"}) == {"error": "no", "ratio": {}}


class FakeWorker:
    """Answers as a GPU would: "a" is recorded, "b" stages, "c" fails, "d" differs when it is timed."""

    def __init__(self, work, made) -> None:
        self.closed = False

    def run(self, job: Job, patience: float):
        match job.peer, job.stage:
            case "a", "times":
                return {"checked": True, **RECORDED, "gpu_by": "graph", "took_s": 0.5}
            case "b", "times":
                return {"checked": True, **TIMED, "took_s": 0.5}
            case "b", "events":
                sides = {"ours": {"gpu_us": 3.0}, "theirs": {"gpu_us": 2.0}}
                return {"checked": True, **sides, "gpu_by": "events", "took_s": 0.5}
            case _:
                return {"checked": False, "wrong": ["x[0]: ours 1, theirs 2, 1 cells"]}

    def close(self) -> None:
        self.closed = True


def counted(todo, *_):
    """What the counts of every peer are; those of "d" were not reached."""
    right = {"checked": True, "ours": OURS, "theirs": THEIRS, "took_s": 1.0}
    answers = {"a": right, "b": right, "c": {"error": "no such kernel"}, "d": None}
    return [answers[job.peer] for job in todo]


@pytest.fixture
def told(tmp_path, monkeypatch) -> Path:
    """The lines of a run over four peers, one of them told to have no time left for its times."""
    monkeypatch.setattr(peers, "Worker", FakeWorker)
    monkeypatch.setattr(peers, "side_by_side", counted)
    known = {n: argparse.Namespace(engine="vllm", plan=f"plan_{n}") for n in "abcd"}
    monkeypatch.setattr("tests.peers.families.peers", lambda: known)
    out = tmp_path / "peers.jsonl"
    asked = dict(out=out, seconds=60, batch=(16,), query=(4,), peer=None, processes=2, live=False)
    Run(argparse.Namespace(**asked))()
    late = argparse.Namespace(**{**asked, "seconds": 0, "batch": (64,), "peer": ["a"]})
    Run(late)()
    return out


def test_every_cell_is_one_line(told: Path):
    rows = [json.loads(text) for text in told.read_text().splitlines()]
    assert [(r["kind"], r.get("peer"), r.get("batch")) for r in rows] == [
        ("run", None, None),
        *(("peer", name, 16) for name in "abcd"),
        ("run", None, None),
        ("peer", "a", 64),
    ]
    a, b, c, d, late = (r for r in rows if r["kind"] == "peer")
    assert (a["gpu_by"], a["ratio"]["gpu_us"], a["plan"]) == ("graph", 0.125, "plan_a")
    assert (b["gpu_by"], b["ratio"]["gpu_us"]) == ("events", 1.5)
    assert c["error"] == "no such kernel"
    assert d["wrong"]
    assert late["theirs"]["launches"] == 7.0
    assert late["ratio"] == {}


def test_the_document_tells_the_cells_and_what_has_none(told: Path):
    found = PeerResults.read(told)
    text = report.filled(report.SKELETON, Results({}, {}, {}, (), {}), found, UNTIMED)
    assert "above 1.0 in 1 of 2 cells\n  - b, B=16, q=4: 1.50" in text
    assert "| 16 | 4 | 7 -> 1 | 2 -> 0 | 1 -> 0 | 200.0 -> 2.00 (0.01) | 6.00 | 16.0 -> 2.00 (0.12) |" in text  # fmt: skip
    assert "| 16 | 4 | 7 -> 1 | 2 -> 0 | 1 -> 0 | 200.0 -> 2.00 (0.01) | 6.00 | 2.00 -> 3.00 (1.50)* |" in text  # fmt: skip
    assert "- c, B=16, q=4: no such kernel" in text
    assert summary(PeerResults({}, ())) == ""


def test_without_results_the_document_says_so(tmp_path):
    none = PeerResults.read(tmp_path / "peers.jsonl")
    text = report.filled(report.SKELETON, Results({}, {}, {}, (), {}), none, UNTIMED)
    assert "<!-- generated: peers -->\nNot measured.\n<!-- end -->" in text
