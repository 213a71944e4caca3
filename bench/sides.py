# pyright: basic
"""Every side of the comparison under one face: what fills the buffers, where they are, and what may be timed of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch

from bench import ours, workloads
from bench.check import Judge, on_device
from bench.workloads import Workload
from metaplan.compiler import build
from metaplan.target import DEFAULT, target

Call = Callable[[], Any]

# What is measured under which name: the plan, and options of its workload.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in workloads.PLANS},
    "engine_step, two groups": ("engine_step", {"groups": 2}),
    "v4_decode, every field": ("v4_decode", {"every_field": True}),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of the table: a variant of a plan, a batch, its query tokens, one side; ``count`` instead of times."""

    variant: str
    batch: int
    query: int
    side: str
    count: bool = False

    @property
    def plan(self) -> str:
        return VARIANTS[self.variant][0]


@dataclass(slots=True)
class Side:
    """``call`` does the whole work on buffers that ``out`` gives; ``recorded`` is what goes into a CUDA graph."""

    judge: Judge
    call: Call
    out: Callable[[], Mapping[str, torch.Tensor]]
    recorded: Call | None = None
    others: dict[str, Call] = field(default_factory=dict)
    """Further ways to call it, by the name of their CPU time."""
    loop: int = 200
    """Calls that may be queued without waiting for the GPU."""
    facts: dict[str, Any] = field(default_factory=dict)
    close: Call = lambda: None
    ready: Call = lambda: None
    """What has to be done anew behind ``reset``."""

    def reset(self) -> None:
        """The buffers (and the state tables) as they were before any call."""
        self.judge.reset(self.out())
        self.ready()


@dataclass(frozen=True, slots=True)
class Place:
    """Where sides run, and the folder with the engine's sources."""

    device: str = "cuda"
    engine: str | None = None
    small: bool = False

    def masks(self) -> contextlib.AbstractContextManager[None]:
        """What the interpreter needs around kernels that mix scalar and vector masks."""
        from metaplan.checking.masks import boolean_masks

        return boolean_masks() if self.device == "cpu" else contextlib.nullcontext()

    def arch(self) -> Any:
        if self.device == "cpu":
            return DEFAULT
        from metaplan.runtime.device_step import device_target

        return target(device_target(self.device)[1])


@lru_cache(maxsize=2)
def _judged(variant: str, batch: int, query: int, room: str, place: Place) -> Judge:
    plan, options = VARIANTS[variant]
    made = workloads.make(plan, batch, query, room, small=place.small, **options)
    return Judge(made, place.device)


def make(case: Case, place: Place) -> Side:
    """The side of a case, ready to be called; compiles what it has to."""
    name, _, room = case.side.partition(" for ")
    judge = _judged(case.variant, case.batch, case.query, room or "batch", place)
    return SIDES[name](judge, case, place)


# ----------------------------------------------------------------- ours


def _ours(judge: Judge, case: Case, place: Place) -> Side:
    work = judge.workload
    built = ours.placed(build(work.plan, work.sizes, place.arch()))
    facts: dict[str, Any] = {
        "launches": len(built.program.kernels),
        "grid": [k.grid for k in built.program.kernels],
        "buffer_bytes": sum(b.bytes for b in built.program.buffers),
    }
    if place.device == "cpu":
        from bench.interpreted import Interpreted

        run = Interpreted(built, judge)
        return Side(judge, run, lambda: run.buffers, facts=facts)
    step = ours.step_of(built, torch.device(place.device, torch.cuda.current_device()))
    values = ours.bind(step, work, place.device)
    return Side(
        judge,
        step,
        lambda: ours.filled(step, values, work),
        recorded=step.emit,
        facts=facts,
        close=step.close,
    )


def _ours_from_host(judge: Judge, case: Case, place: Place) -> Side:
    """The same kernel, the scheduler's numbers written anew by the host each step: one transfer, one launch."""
    work = judge.workload
    hosted = ("idx_mapping",) if work.name == "post_update" else ours.per_request(work)
    built = ours.placed(build(work.plan, work.sizes, place.arch()), hosted)
    device = torch.device(place.device, torch.cuda.current_device())
    step = ours.step_of(
        built, device, lag=220
    )  # a long queue is measured, not a wait for its slots
    values = ours.bind(step, work, place.device, hosted)
    fresh = {n: v for n, v in values.items() if n in hosted or isinstance(v, int)}
    twins = {n: np.zeros_like(v) for n, v in values.items() if n in hosted}

    def write() -> None:
        for name, twin in twins.items():
            twin[:] = values[name]

    return Side(
        judge,
        step,
        lambda: ours.filled(step, values, work),
        others={"cpu_us_named": partial(step, **fresh), "cpu_us_write": write},
        facts={"host_bytes": step.ring.layout.bytes if step.ring is not None else 0},
        close=step.close,
    )


# --------------------------------------------------------------- rivals


def _numbers(work: Workload, side: str) -> dict[str, Any]:
    """What a rival takes beside its tensors."""
    numbers, most = dict(work.numbers), work.capacity.most
    if side == "hand_fused":
        numbers |= {"most": most} if work.name in ("paged_decode", "engine_step") else {}
        numbers |= {"drafts": most - 1} if work.name in ("engine_step", "post_update") else {}
    return numbers


def _rival(judge: Judge) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    given = on_device(judge.workload.given(), judge.device)
    out = judge.buffers()
    return {n: v for n, v in given.items() if n not in judge.workload.states}, out


def _hand_fused(judge: Judge, case: Case, place: Place) -> Side:
    from bench.rivals import hand_fused

    given, out = _rival(judge)
    fill = getattr(hand_fused, case.plan)
    call = partial(fill, given, out, **_numbers(judge.workload, "hand_fused"))
    return Side(judge, call, lambda: out, facts={"launches": 1})


def _torch_eager(judge: Judge, case: Case, place: Place) -> Side:
    from bench.rivals import torch_ops

    given, out = _rival(judge)
    fill = getattr(torch_ops, case.plan)
    return Side(
        judge, partial(fill, given, out, **_numbers(judge.workload, "")), lambda: out, loop=6
    )


def _torch_static(judge: Judge, case: Case, place: Place) -> Side:
    from bench.rivals import torch_compiled

    given, out = _rival(judge)
    torch_compiled.compiled.cache_clear()
    torch_compiled.forget()
    fill = torch_compiled.static(case.plan, **_numbers(judge.workload, ""))
    return Side(judge, partial(fill, given, out), lambda: out, loop=40)


def _torch_called(judge: Judge, case: Case, place: Place) -> Side:
    """Compiled once for half the batch, then called with the whole batch, as steps of an engine differ."""
    from bench.rivals import torch_compiled

    given, out = _rival(judge)
    torch_compiled.compiled.cache_clear()
    torch_compiled.forget()
    fill = torch_compiled.as_called(case.plan, **_numbers(judge.workload, ""))
    half = max(case.batch // 2, 1)
    some = dict(given, req=torch.tensor([half], dtype=torch.int32, device=judge.device))
    for name in ("graph_tokens", "padded_tokens", "padded_reqs", "graph_requests"):
        if name in some:
            at_half = half if name in ("padded_reqs", "graph_requests") else half * case.query
            some[name] = torch.full_like(some[name], at_half)
    fill(*_fronts(case.plan, some, out, half, half * case.query))
    judge.reset(out)

    def call() -> None:
        fill(*_fronts(case.plan, given, out, case.batch, case.batch * case.query))

    return Side(judge, call, lambda: out, loop=40)


def _fronts(plan: str, given: Any, out: Any, requests: int, tokens: int) -> tuple[Any, Any]:
    """The live part of every tensor, as a caller slices it each step."""
    if plan != "post_update":
        from bench.rivals import torch_compiled

        return torch_compiled.live_part(given, out, requests, tokens)
    fences = ("query_start_loc",)
    return {
        n: v if v.numel() == 1 else v[: requests + 1] if n in fences else v[:requests]
        for n, v in given.items()
    }, out


def _numpy_copy(judge: Judge, case: Case, place: Place) -> Side:
    from bench.rivals import numpy_copy

    work = judge.workload
    before, out = work.empty(), judge.buffers()
    stager, numbers = numpy_copy.Stager(out), _numbers(work, "")
    shapes = {name: value.shape for name, value in before.items()}
    fill = getattr(numpy_copy, case.plan)
    extra = {
        "paged_decode": (shapes,),
        "engine_step": (shapes, before),
        "post_update": (),
        "v4_decode": (shapes, before),
    }[case.plan]

    def call() -> None:
        stager.copy(fill(work.inputs, *extra, **numbers))

    return Side(judge, call, lambda: out, loop=3)


def _engine(judge: Judge, case: Case, place: Place) -> Side:
    from tests.peers import vllm_kernels, vllm_step

    work, kernels = judge.workload, vllm_kernels.load(place.engine)
    given = on_device(work.given(), place.device)
    if case.plan == "post_update":
        tables = judge.buffers()
        live = slice(0, work.batch)
        drafts: dict[str, Any] = {}
        if "draft_tokens" in tables:
            drafts = {
                "draft_tokens": given["new_draft_tokens"][live],
                "draft_tokens_out": tables["draft_tokens"],
            }
        call = partial(
            kernels.input_batch.post_update,
            given["idx_mapping"][live],
            tables["num_computed_tokens"],
            tables["last_sampled_tokens"],
            None,
            given["sampled_tokens"][live],
            given["num_sampled"][live],
            given["num_rejected"][live],
            given["query_start_loc"][: work.batch + 1],
            tables["all_token_ids"],
            tables["total_len"],
            **drafts,
        )
        return Side(judge, call, lambda: tables, loop=100)
    step = vllm_step.EngineStep(
        kernels, work.numbers["groups"], given, judge.before, work.capacity.most - 1
    )

    stage = partial(step.stage, work.inputs)
    launch = partial(step.launch, has_prefill=False)

    def whole() -> None:
        stage()
        launch()

    whole()
    return Side(
        judge, launch, step.outputs, others={"cpu_us_from_host": whole}, loop=60, ready=stage
    )


SIDES: dict[str, Callable[[Judge, Case, Place], Side]] = {
    "ours": _ours,
    "ours from host": _ours_from_host,
    "hand-fused": _hand_fused,
    "engine": _engine,
    "torch.compile, static": _torch_static,
    "torch.compile, as called": _torch_called,
    "torch eager": _torch_eager,
    "numpy + H2D": _numpy_copy,
}


def written_bytes(judge: Judge) -> int:
    """Bytes of the cells that a step has to write: those that the oracle says anything new of."""
    work = judge.workload
    before = work.empty()
    expected = work.oracle(before)
    total = 0
    for name, value in expected.values.items():
        inside = tuple(slice(0, n) for n in value.shape)
        total += int(np.count_nonzero(value != before[name][inside])) * value.itemsize
    return total
