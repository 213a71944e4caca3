# pyright: basic
"""The benchmark measures what it says: its inputs are right on every side, and its document says what its results say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import plans, report, workloads
from bench.loops_of import LoopResults
from bench.peers_of import PeerResults
from bench.results_of import Results
from bench.sides import SIDES, VARIANTS, Case, Place
from bench.targets import verdicts

pytestmark = pytest.mark.interp
HERE = Place("cpu", small=True)
COMPILERS = ("torch.compile, static", "torch.compile, as called")  # minutes of a CPU's C++ compiler
ELSEWHERE = ("engine", "ours from host", *COMPILERS)
NONE = (PeerResults({}, ()), LoopResults.read(Path("nowhere")))
ALONE = ("v4_decode, every field",)  # no rival fills them


@pytest.mark.parametrize("side", [s for s in SIDES if s not in ELSEWHERE])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_side_is_right_on_its_workload(variant, side):
    if side != "ours" and variant in ALONE:
        side = "ours for all"
    if side == "numpy + H2D" and variant == "post_update":
        side = "ours for mixed"
    row = plans.run(Case(variant, 3, 2, side), HERE)
    assert row["checked"], row


@pytest.mark.parametrize("name", workloads.PLANS)
def test_workloads_are_the_same_at_every_call(name):
    first, second = (workloads.make(name, 2, 4, small=True) for _ in range(2))
    for key, value in first.inputs.items():
        assert (
            (value == second.inputs[key]).all()
            if hasattr(value, "all")
            else value == second.inputs[key]
        )


def test_a_wrong_side_has_no_time(monkeypatch):
    from bench.rivals import hand_fused

    monkeypatch.setattr(hand_fused, "post_update", lambda given, out, drafts: None)
    row = plans.run(Case("post_update", 3, 2, "hand-fused"), HERE)
    assert not row["checked"]
    assert row["wrong"]
    assert "gpu_us" not in row


def lines(**changed):
    """Results of one cell in which every target is met, except as ``changed``."""
    cell = {"variant": "engine_step", "plan": "engine_step", "batch": 16, "query": 4}
    ours = {"checked": True, "cpu_us": 2.0, "gpu_us": 2.0, "launches": 1, "written_bytes": 4096}
    run = {"command": "python -m bench.plans", "date": "2026-01-01", "python": "3.12", "cores": 16}
    run |= {"processor": "x86_64", "versions": {"torch": "2"}, "device": {"name": "a GPU"}}
    floor = {"driver_cpu_us": 3.0, "replay_cpu_us": 2.0, "gpu_us": 1.4, "pinned_copy_cpu_us": 3.0}
    sides = {
        "ours": ours | changed,
        "hand-fused": {"checked": True, "cpu_us": 20.0, "gpu_us": 2.0},
        "engine": {"checked": True, "cpu_us": 90.0, "cpu_us_from_host": 180.0, "gpu_us": 9.0},
        "torch eager": {"checked": False, "wrong": ["positions[0] is 1, expected 2"]},
    }
    rows = [{"kind": "run", **run}, {"kind": "floor", **floor}]
    rows += [{"kind": "side", **cell, "side": name, **row} for name, row in sides.items()]
    return "".join(json.dumps({"run": "a", **row}) + "\n" for row in rows)


def results(tmp_path, **changed):
    path = tmp_path / "plans.jsonl"
    path.write_text(lines(**changed))
    return Results.read(path)


def test_targets_are_met_and_missed(tmp_path):
    by_hand = "GPU time / one kernel fused by hand for the same outputs"
    met = {v.target: v for v in verdicts(results(tmp_path))}
    assert met[by_hand].met
    missed = {v.target: v for v in verdicts(results(tmp_path, gpu_us=3.0))}
    assert not missed[by_hand].met
    assert missed[by_hand].missed == ("1.50 (engine_step, B=16, q=4)",)
    unmeasured = [v for v in met.values() if v.measured == "not measured"]
    assert all(v.met is None for v in unmeasured)


def test_the_document_keeps_what_a_person_wrote(tmp_path):
    found = results(tmp_path)
    first = report.filled(report.SKELETON, found, *NONE)
    assert "positions[0] is 1, expected 2" in first
    commented = first.replace("## GPU time\n", "## GPU time\n\nA person's line.\n")
    slower = report.filled(commented, results(tmp_path, gpu_us=3.0), *NONE)
    assert "A person's line." in slower
    assert "| 16 | 4 | 3.00 | 2.00 (1.50) |" in slower
    assert report.filled(slower, results(tmp_path, gpu_us=3.0), *NONE) == slower


def test_a_block_of_no_name_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="no such block: nonsense"):
        report.filled("<!-- generated: nonsense -->\n<!-- end -->\n", results(tmp_path), *NONE)
