# pyright: basic
"""Lists of tensors on a GPU: read where they are, followed when they move, without a wait."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import metaplan as mp
from metaplan.errors import CallError
from tests.running import garbage_buffers, loops, wrong
from tests.samples import SAMPLES
from tests.samples.copying import PAGES, cache_groups

pytestmark = pytest.mark.device
SAMPLE = next(s for s in SAMPLES if s.plan is cache_groups)


@pytest.fixture
def step():
    return cache_groups.compile(device="cuda", **SAMPLE.sizes)


def tensors(tables, gap=0):
    """On the GPU, each with rows of its own stride."""
    made = []
    for at, table in enumerate(tables):
        wide = torch.full((len(table), table.shape[1] + gap + at), -7, dtype=torch.int32).cuda()
        wide[:, : table.shape[1]] = torch.from_numpy(table.astype(np.int32))
        made.append(wide[:, : table.shape[1]])
    return made


def bound(batch, lists):
    given = {n: torch.from_numpy(batch[n]).cuda() for n in ("n", "scale")}
    rows = torch.from_numpy(batch["rows"].astype(np.int32)).cuda()
    return {**given, "rows": rows, "tables": lists, "req": batch["req"]}


def batch(seed):
    return SAMPLE.batch(np.random.default_rng(seed), SAMPLE.sizes["req"])


def differences(step, made, seed):
    plan = step.built.bound
    want = loops(SAMPLE, plan, made, seed)
    for name, buffer in garbage_buffers(plan, seed).items():
        step.outputs[name].copy_(torch.from_numpy(buffer).view(step.outputs[name].shape))
    return lambda: wrong(want, {n: b.cpu().numpy() for n, b in step.outputs.items()})


def test_tensors_of_their_own_widths_and_strides(step):
    for seed in range(4):
        made = batch(seed)
        found = differences(step, made, seed)
        step(**bound(made, tensors(made["tables"], seed)))
        assert not found()


def test_a_list_that_stays_is_sent_once(step):
    made = batch(1)
    given = bound(made, tensors(made["tables"]))
    step(**given)
    before = step._tables.ring.slot
    step(**given)
    assert step._tables.ring.slot == before
    step(**bound(made, tensors(made["tables"])))
    assert step._tables.ring.slot != before


def test_neither_a_call_nor_a_moved_tensor_waits_for_the_gpu(step):
    made = batch(2)
    one, other = (bound(made, tensors(made["tables"], gap)) for gap in (0, 3))
    step(**one)
    step(**other)
    assert mp.assert_sync_free(lambda: (step(**one), step(**other))).clean


def test_a_graph_reads_the_tensors_that_were_bound_last(step):
    made = batch(3)
    given = bound(made, tensors(made["tables"]))
    given["req"] = torch.tensor([made["req"]], dtype=torch.int32, device="cuda")
    step(**given)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step.emit()
    for seed in (4, 5):
        other = batch(seed)["tables"]
        found = differences(step, {**made, "tables": other}, seed)
        step.bind(tables=tensors(other, seed))
        graph.replay()
        assert not found()


def test_a_tensor_that_moves_in_a_capture_is_refused(step):
    made = batch(6)
    given = bound(made, tensors(made["tables"]))
    given["req"] = torch.tensor([made["req"]], dtype=torch.int32, device="cuda")
    step(**given)
    moved = tensors(made["tables"])
    torch.cuda.synchronize()
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        step.emit()
        with pytest.raises(CallError, match="moved while a CUDA graph is being captured"):
            step.bind(tables=moved)
    assert len(PAGES) == len(moved)
