# pyright: basic
"""The loops that are timed serve the same requests, see the same slots and fill the same buffers; a wrong one is seen."""

from __future__ import annotations

import json
from argparse import Namespace
from contextlib import nullcontext

import numpy as np
import pytest
import torch

import metaplan as mp
from bench import loop_figures, loops_of, report
from bench.check import Judge
from bench.loops import accepted, idle, preparation, v4_host, v4_rivals, v4_sides, watched
from bench.loops.counting import Early, Optimistic
from bench.loops.drafting import Drafting, Shape
from bench.loops.fields import Fields
from bench.loops.model import Llama
from bench.loops.overlapped import Overlapped
from bench.loops.tokens import differences
from bench.loops_of import LoopResults

pytestmark = pytest.mark.interp


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def test_every_loop_gives_its_requests_the_same_tokens():
    assert idle.check() == []


def test_a_loop_that_forgets_what_it_carries_is_seen(monkeypatch):
    """The host's last token stands in place of the one that is still on the device: one step too old."""
    monkeypatch.setattr(idle, "sides", lambda work: [idle.Pinned(work), Overlapped(work)])
    monkeypatch.setattr(
        Overlapped, "fill", lambda self, host: (host.fill(self.requests), host.carry.fill_(-1))
    )
    table = idle.Table(
        idle.Point("tiny", 2, 10, 16, every=4, horizon=24),
        idle.Weights(idle.SHAPES["tiny"], "cpu"),
    )
    assert "request 0, token 1" in table.wrong(5)[Overlapped.name][0]


def test_too_few_tokens_are_no_proof():
    assert differences({0: [5, 6, 7]}, {0: [5, 6, 7]}, 1, 3) == []
    assert differences({0: [5, 6, 7]}, {0: [5]}, 1, 3) == ["1 tokens told by both, of 3"]
    assert differences({0: [5, 6, 7]}, {0: [5, 8, 7]}, 1, 3) == ["request 0, token 1: 6 and 8"]


def test_a_step_has_the_same_fields_from_lists_and_from_numpy():
    from bench.loops.fields import lists
    from bench.loops.requests import Requests, Traffic

    requests = Requests(Traffic(3, 20, every=2, horizon=40), page=4, pages=90)
    for step in range(9):
        requests.schedule()
        made = Fields(3, requests.table.shape[1], "cpu")
        made.fill(requests)
        for name, values in lists(requests).items():
            assert getattr(made, name).tolist() == values, name
        requests.commit([step, step, step], requests.advance())
    owned = [page for row in range(3) for page in requests.pages(row).tolist()]
    assert len({*owned, *requests.free}) == len(owned) + len(requests.free) == 89


def test_every_way_to_count_sees_the_oracles_positions_and_slots():
    assert accepted.check() == []


def test_counts_that_are_read_too_early_are_seen(monkeypatch):
    drafting = Drafting(Shape(2, 2, 12), "cpu")
    side = Early(drafting)
    monkeypatch.setattr(side, "verify", lambda: None)  # the counts of the step before
    assert accepted.watched(side, 12)


def test_a_bound_outside_its_contract_is_seen():
    side = Optimistic(Drafting(Shape(2, 2, 12), "cpu"), lag=1)
    assert accepted.watched(side, 12) == []
    side.above[1] += side.loop.bounds.slack + 1
    assert "upper bound" in side.wrong(12)[0]


def test_every_preparation_fills_the_buffers_as_the_oracle_says():
    assert preparation.check() == []


@pytest.mark.parametrize("part", ["hca_loop", "hca_vectorised", "window_topk"])
def test_a_wrong_preparation_is_seen(monkeypatch, part):
    right = getattr(v4_host, part)

    def wrong(*given):
        if part == "window_topk":
            return np.roll(right(*given), 1, axis=1)
        return right(given[0], given[1] + 1, *given[2:])

    monkeypatch.setattr(v4_host, part, wrong)
    judge = Judge(v4_sides.workload(3, 1024, small=True), "cpu")
    bad = {
        kind.name: v4_sides.wrong(judge, v4_sides.rival(kind, judge))
        for kind in (v4_rivals.Before, v4_rivals.After)
    }
    assert bad[v4_rivals.Before.name] if part == "hca_loop" else bad[v4_rivals.After.name]


def ran(path, name):
    """The lines that a run appended."""
    return [json.loads(line) for line in (path / f"{name}.jsonl").read_text().splitlines()]


def follows(model, ids, positions, slots, lens, table, attended=None, out=None):
    """In place of the model: the next token is a formula."""
    tokens = (ids * 7 + positions + slots % 16).long() % 509
    return tokens if out is None else out.copy_(tokens)


def test_a_run_times_every_loop_and_says_what_it_left_out(tmp_path, monkeypatch):
    """The whole command, on a model whose next token is a formula: nothing of it needs a GPU."""
    monkeypatch.setattr(Llama, "__call__", follows)
    monkeypatch.setattr(Llama, "prefill", lambda model, pages, start, length: None)
    monkeypatch.setattr(idle, "MOST", idle.LEAST)
    out = tmp_path / "loops_idle.jsonl"
    asked = Namespace(size=["tiny"], batch=[2, 3], host=[0.0, 1.0], context=20, repeats=1)
    idle.run(Namespace(**vars(asked), seconds=60.0, out=out), "cpu")
    loops = [row for row in ran(tmp_path, "loops_idle") if row["kind"] == "loop"]
    assert len(loops) == 2 * 2 * 7
    assert all(row["checked"] and row["wall_us"] > row["host_us"] for row in loops)
    assert all(row["idle"] < 1 and row["compared"] > 70 for row in loops)
    idle.run(Namespace(**vars(asked), seconds=0.0, out=out), "cpu")
    assert [row["kind"] for row in ran(tmp_path, "loops_idle")[-2:]] == ["left", "left"]
    assert len(LoopResults.read(tmp_path).rows["loop"]) == 4


def test_every_loop_can_be_watched(monkeypatch):
    """A trace needs a GPU: here one that says how many steps it saw."""
    seen = Namespace(steps=0, idle=[Namespace(share=0.25)], lead=None)
    seen.a_step = lambda: {"waits": seen.steps}
    seen.step = lambda: setattr(seen, "steps", seen.steps + 1)
    seen.report = seen
    monkeypatch.setattr(mp, "watching", lambda skip: nullcontext(seen), raising=False)
    monkeypatch.setattr(Llama, "__call__", follows)
    monkeypatch.setattr(Llama, "prefill", lambda model, pages, start, length: None)
    table = idle.Table(idle.Point("tiny", 2, 20), idle.Weights(idle.SHAPES["tiny"], "cpu"))
    rows = watched.rows(table, [0.0])
    each = watched.SKIP + watched.STEPS
    assert [row["a_step"]["waits"] for row in rows] == [each * (n + 1) for n in range(7)]
    assert [row["side"] for row in rows] == [side.name for side in table.sides]


def test_a_run_times_every_way_to_count(tmp_path):
    out = tmp_path / "loops_accepted.jsonl"
    asked = Namespace(drafts=[2], batch=[3], host=[0.5], repeats=1, seconds=60.0, out=out)
    accepted.every(asked, "cpu")
    rows = [row for row in ran(tmp_path, "loops_accepted") if row["kind"] == "accepted"]
    assert [row["checked"] for row in rows] == [True] * 4
    assert {row["side"] for row in rows if "slack" in row} == {"ours, lag 1", "ours, lag 2"}
    assert len(LoopResults.read(tmp_path).rows["accepted"]) == 1


def line(kind, side, **values):
    return {"run": "a", "kind": kind, "side": side, "checked": True} | values


def made_up(tmp_path):
    """Results of a cell of each bench, in a folder of their own."""
    run = {"run": "a", "kind": "run", "command": "python -m bench.loops", "date": "2026-01-01"}
    run |= {"python": "3.12", "cores": 16, "processor": "x86_64", "versions": {"torch": "2"}}
    run |= {"device": {"name": "a GPU"}}
    loop = {"size": "0.6b", "batch": 32, "host": 1.0}
    asked = {"launches": 1.0, "graph_launches": 1.0, "host_to_device": 0.5, "device_to_host": 0.0}
    asked |= {"waits": 1.0}
    rows = {
        "loops_idle": [
            line("loop", "sync, lists", idle=0.5, wall_us=3000.0, tokens_per_s=10667.0, **loop),
            line("loop", "ours, in the graph", idle=0.9, wall_us=9000.0, tokens_per_s=3556.0, **loop),
            line("loop", "ours, in the graph", idle=0.01, wall_us=1500.0, tokens_per_s=21333.0, **loop),
            line("loop", "async, two pairs", **loop) | {"checked": False, "wrong": ["token 1"]},
        ],
        "loops_watched": [
            line("watched", "ours, in the graph", a_step=asked, run_ahead=1.0, **loop),
        ],
        "loops_accepted": [
            line("accepted", "ours, lag 1", batch=8, drafts=2, host=0.5, wall_us=5830.0, gap_us=10.0)
        ],
        "loops_preparation": [
            line("preparation", "ours, on the device", batch=8, context=16384, cpu_us=3.0,
                 gpu_us=4.5, beside_us=5.0, kernels=1.0, host_to_device=0.0)
        ],
    }  # fmt: skip
    for name, lines in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in [run, *lines]))
    return LoopResults.read(tmp_path)


def test_the_newest_right_line_of_a_cell_stands_in_the_document(tmp_path):
    made = loops_of.blocks(made_up(tmp_path), report.table, lambda runs: f"{len(runs)} run")
    assert "| 0.6b | 32 | 1x | 50.0 % (3.00 ms) | 1.0 % (1.50 ms) |" in made["idle"]
    assert "async, two pairs: token 1" in made["idle"]
    assert "| 1 + 1 / 0.5 in, 0 out / 1 / 100 % |" in made["watched"]
    assert "| 8 | 2 | 0.5x | 5.83 ms (+0.01) |" in made["accepted"]
    assert "| 8 | 16384 | 3 / 4.5 / 5 |" in made["preparation"]
    assert "| 8 | 16384 | 1 / 0 |" in made["preparation"]


def test_the_picture_is_drawn_from_what_was_measured(tmp_path):
    assert loop_figures.draw(LoopResults.read(tmp_path / "nowhere"), tmp_path) == []
    (path,) = loop_figures.draw(made_up(tmp_path), tmp_path / "figures")
    assert path.stat().st_size > 10_000
