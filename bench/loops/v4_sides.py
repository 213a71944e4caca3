# pyright: basic
"""The sides of DeepSeek-V4's preparation, over the same fields of the same batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench import measure, ours, workloads
from bench.check import Judge
from bench.loops import v4_rivals
from bench.sides import Place
from bench.workloads import Workload
from metaplan.compiler import build

QUERY = 2  # one draft token
# In that builder these stay on the host, or serve a cache of another format.
HOST_ONLY = ("n_committed_hca_per_seq", "qo_indptr", "num_", "cu_compress")


@dataclass(slots=True)
class Side:
    """``prepare`` fills the buffers of ``out``; ``recorded`` does so inside a graph, behind ``stage``."""

    name: str
    prepare: Callable[[], Any]
    out: Callable[[], dict[str, torch.Tensor]]
    recorded: Callable[[], Any] | None = None
    stage: Callable[[], Any] = lambda: None
    close: Callable[[], Any] = lambda: None


def workload(batch: int, context: int, *, small: bool = False) -> Workload:
    """The shipped plan with the fields that all three designs put on the device."""
    longest = None if small else 131072
    work = workloads.make(
        "v4_decode", batch, QUERY, small=small, every_field=True, longest=longest, context=context
    )
    wanted = tuple(o for o in work.plan.outputs if not o.name.startswith(HOST_ONLY))
    names = {o.name for o in wanted}

    def oracle(before: workloads.Arrays) -> Any:
        whole = work.oracle(before)
        values = {n: value for n, value in whole.values.items() if n in names}
        return type(whole)(values, {n: whole.specified[n] for n in values})

    def empty() -> workloads.Arrays:
        return {n: value for n, value in work.empty().items() if n in names}

    return replace(work, plan=replace(work.plan, outputs=wanted), oracle=oracle, empty=empty)


def rival(kind: type[v4_rivals.OnHost], judge: Judge) -> Side:
    made = kind(judge)
    return Side(kind.name, made, lambda: made.out)


def bound(judge: Judge, hosted: bool) -> Side:
    """The shipped plan: its inputs on the device, or those of a scheduler staged from the host in each step."""
    work = judge.workload
    # What the device alone knows stays there.
    known = tuple(n for n in ours.per_request(work) if n != "num_rejected")
    names = known if hosted else ()
    built = ours.placed(build(work.plan, work.sizes, Place(judge.device).arch()), names)
    name = "ours, from the host" if hosted else "ours, on the device"
    if judge.device == "cpu":
        from bench.interpreted import Interpreted

        run = Interpreted(built, judge)
        return Side(name, run, lambda: run.buffers)
    step = ours.step_of(built, torch.device("cuda", torch.cuda.current_device()))
    values = ours.bind(step, work, "cuda", names)
    fresh = {n: v for n, v in values.items() if n in names or isinstance(v, int)}
    stage = (lambda: step.stage(**fresh)) if hosted else (lambda: None)
    return Side(
        name,
        (lambda: step(**fresh)) if hosted else step,
        lambda: dict(step.outputs),
        recorded=step.emit,
        stage=stage,
        close=step.close,
    )


def sides(judge: Judge) -> list[Side]:
    rivals = [rival(v4_rivals.Before, judge), rival(v4_rivals.After, judge)]
    hosted = [bound(judge, True)] if judge.device != "cpu" else []
    return [*rivals, bound(judge, False), *hosted]


def wrong(judge: Judge, side: Side) -> list[str]:
    """Twice over buffers that hold anything: a call must not live on what the one before left."""
    found = []
    for _ in range(2):
        judge.reset(side.out())
        with Place(judge.device).masks():
            side.prepare()
        measure.synchronize()
        found += judge.wrong(side.out())
    return found
