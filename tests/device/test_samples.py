# pyright: basic
"""Every primitive of the language on a GPU: each sample's kernel fills the cells that its loops say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch

from metaplan.ir import Home
from metaplan.runtime.step import Step
from tests.running import arrays, garbage_buffers, loops, wrong
from tests.samples import SAMPLES, Sample

pytestmark = pytest.mark.device


@cache
def compiled() -> dict[str, Step]:
    """The steps of all samples: Triton compiles several at once."""
    with ThreadPoolExecutor(8) as pool:
        made = {s.name: pool.submit(s.plan.compile, device="cuda", **s.sizes) for s in SAMPLES}
        return {name: future.result() for name, future in made.items()}


def on_gpu(given):
    if isinstance(given, list):
        return [torch.from_numpy(one).cuda() for one in given]
    return torch.from_numpy(np.ascontiguousarray(given)).cuda()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
def test_the_kernel_fills_what_the_loops_say(sample: Sample) -> None:
    step = compiled()[sample.name]
    plan, req = step.built.bound, sample.sizes["req"]
    for seed, live in [(s, n) for n in sorted({0, 1, req // 2, req}) for s in range(4)]:
        batch = sample.batch(np.random.default_rng([seed, live]), live)
        want = loops(sample, plan, batch, seed)
        given = arrays(plan, batch)
        for name, buffer in garbage_buffers(plan, seed).items():
            step.outputs[name].copy_(torch.from_numpy(buffer).view(step.outputs[name].shape))
        sent = {
            i.name: given[i.name] if i.home is Home.HOST else on_gpu(given[i.name])
            for i in plan.inputs
        }
        step(**sent, **{name: int(batch[name]) for name in plan.root_names()})
        got = {name: buffer.cpu().numpy() for name, buffer in step.outputs.items()}
        got |= {i.name: sent[i.name].cpu().numpy() for i in plan.inputs if i.state}
        assert not wrong(want, got), f"seed {seed}, {live} live"
