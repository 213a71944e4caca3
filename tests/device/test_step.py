# pyright: basic
"""The bound step on a GPU: right, sync-free, at fixed addresses, compiled once, recordable."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
import torch

import metaplan as mp
from metaplan import i32
from metaplan.plans.engine_step import Group, engine_step
from metaplan.plans.paged_decode import paged_decode
from tests.oracle.batches import PAGE_COL, REQ, TOK, engine_inputs, paged_inputs
from tests.oracles import EngineStep, PagedDecode, compare, vec_engine_step, vec_paged_decode
from tests.oracles import Group as OracleGroup
from tests.oracles.buffers import engine_buffers, paged_buffers

pytestmark = pytest.mark.device
PLAN = PagedDecode(page=4, window=6, ring=9)
SIZES = {"req": REQ, "tok": TOK, "row": 2 * REQ, "page_col": PAGE_COL}


@pytest.fixture(scope="module")
def paged():
    plan = paged_decode(page=4, window=6, ring=9, most=5, max_model_len=48, table_rows=2 * REQ)
    return plan.compile(**SIZES)


def on_gpu(inputs):
    return {
        n: torch.tensor([v], dtype=torch.int32, device="cuda")
        if isinstance(v, int)
        else torch.from_numpy(v).cuda()
        for n, v in inputs.items()
    }


def at_capacity(inputs):
    """Rows of every request array, so that a live size on the device is allowed."""
    out = {}
    for name, value in inputs.items():
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = np.concatenate([value, np.full(REQ - len(value), 7, value.dtype)])
        out[name] = value
    return out


def batch(seed, req):
    return paged_inputs(PLAN, np.random.default_rng(seed), req)


def fill(step, before):
    for name, array in before.items():
        getattr(step, name).copy_(torch.from_numpy(array).view(getattr(step, name).shape))


def wrong(step, inputs, before):
    expected = vec_paged_decode(PLAN, inputs, before)
    return compare(expected, {n: getattr(step, n).cpu().numpy() for n in before})


@pytest.mark.parametrize("req", [0, 1, 3, REQ])
def test_every_buffer_is_the_oracles(paged, req):
    for seed in range(5):
        inputs, before = batch(seed, req), paged_buffers(PLAN, REQ, TOK, PAGE_COL)
        fill(paged, before)
        given = {
            n: torch.from_numpy(v).cuda() if isinstance(v, np.ndarray) else v
            for n, v in inputs.items()
        }
        paged(**given)
        assert wrong(paged, inputs, before) == []


def test_a_live_size_may_stay_on_the_device(paged):
    inputs, before = batch(3, 4), paged_buffers(PLAN, REQ, TOK, PAGE_COL)
    fill(paged, before)
    paged(**on_gpu(at_capacity(inputs)))
    assert wrong(paged, inputs, before) == []


def test_addresses_never_change_and_nothing_is_allocated(paged):
    given = on_gpu(at_capacity(batch(1, 3)))
    paged(**given)
    torch.cuda.synchronize()
    addresses = {n: b.data_ptr() for n, b in paged.outputs.items()}
    allocated = torch.cuda.memory_stats()["allocation.all.allocated"]
    for _ in range(20):
        paged(**given)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == allocated
    assert addresses == {n: b.data_ptr() for n, b in paged.outputs.items()}


def test_nothing_compiles_after_compile(paged, monkeypatch):
    """Sizes of 1 and multiples of 16, and views that are not aligned, meet the same kernel."""
    import triton.compiler.compiler as compiler

    def refuse(*args, **kwargs):
        raise AssertionError("compiled after compile()")

    monkeypatch.setattr(compiler, "compile", refuse)
    monkeypatch.setattr("metaplan.runtime.compiled.compile_kernel", refuse)
    inputs = batch(5, REQ)
    for shift in (0, 1, 2, 3):
        moved = {}
        for name, value in on_gpu(at_capacity(inputs)).items():
            room = torch.empty(value.numel() + 16, dtype=value.dtype, device="cuda")
            view = room[shift : shift + value.numel()].view(value.shape)
            moved[name] = view.copy_(value)
        before = paged_buffers(PLAN, REQ, TOK, PAGE_COL)
        fill(paged, before)
        paged(**moved)
        assert wrong(paged, inputs, before) == []


def test_a_row_stride_is_no_part_of_the_kernel(paged):
    inputs, before = batch(6, 4), paged_buffers(PLAN, REQ, TOK, PAGE_COL)
    given = on_gpu(at_capacity(inputs))
    wide = torch.zeros(2 * REQ, PAGE_COL + 5, dtype=torch.int32, device="cuda")
    wide[:, :PAGE_COL] = given["block_table"]
    fill(paged, before)
    paged(**(given | {"block_table": wide[:, :PAGE_COL]}))
    assert wrong(paged, inputs, before) == []


def test_a_bound_step_does_not_wait_for_the_gpu(paged):
    paged(**on_gpu(at_capacity(batch(1, 3))))
    assert mp.assert_sync_free(lambda: paged()).clean


def test_host_integers_do_not_wait_either(paged):
    given = on_gpu(at_capacity(batch(1, 3)))
    given.pop("req")
    paged(**given, req=3)
    assert mp.assert_sync_free(lambda: paged(req=2)).clean


def test_a_graph_follows_its_inputs():
    plan = paged_decode(page=4, window=6, ring=9, most=5, max_model_len=48, table_rows=2 * REQ)
    step = plan.compile(**SIZES)
    given = on_gpu(at_capacity(batch(1, 3)))
    step.bind(**given)
    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step.emit()
    for seed, req in ((2, 5), (3, 0), (4, REQ)):
        inputs, before = batch(seed, req), paged_buffers(PLAN, REQ, TOK, PAGE_COL)
        fill(step, before)
        for name, value in on_gpu(at_capacity(inputs)).items():
            given[name].copy_(value)
        graph.replay()
        assert wrong(step, inputs, before) == []
    with pytest.raises(mp.CallError, match="moved after this step was recorded"):
        step.bind(num_tokens=given["num_tokens"].clone())


def test_a_refused_call_launches_nothing(paged):
    given = on_gpu(at_capacity(batch(1, 3)))
    paged(**given)
    fill(paged, paged_buffers(PLAN, REQ, TOK, PAGE_COL))
    held = {n: b.clone() for n, b in paged.outputs.items()}
    bad = (
        {"num_tokens": given["num_tokens"].long()},
        {"num_tokens": given["num_tokens"][:2]},
        {"num_tokens": given["num_tokens"].cpu()},
        {"block_table": given["block_table"].t()},
        {"nothing": 3},
        {"req": REQ + 1},
        {"req": -1},
    )
    for change in bad:
        with pytest.raises(mp.CallError):
            paged(**change)
    torch.cuda.synchronize()
    assert all(torch.equal(held[n], b) for n, b in paged.outputs.items())


def test_host_arrays_are_staged():
    groups = (Group(4), Group(8, reach=20))
    length = 96
    plan = engine_step(groups=groups, drafts=2, max_model_len=length, max_tokens=8, states=2 * REQ)
    columns = {g: -(-length // group.page) for g, group in enumerate(groups)}
    pages = {f"page_{g}": n for g, n in columns.items()}
    step = plan.compile(req=REQ, tok=TOK, state=2 * REQ, model_len=length, **pages)
    oracle = EngineStep(tuple(OracleGroup(g.page, g.reach) for g in groups), 2)
    for seed in range(12):
        req = seed % (REQ + 1)
        inputs = engine_inputs(oracle, np.random.default_rng(seed), req, length)
        before = engine_buffers(oracle, REQ, TOK, columns)
        fill(step, before)
        hosted = ("idx_mapping", "num_scheduled", "num_draft")
        step(
            **{
                n: v if n in hosted or isinstance(v, int) else torch.from_numpy(v).cuda()
                for n, v in inputs.items()
            }
        )
        got = {n: getattr(step, n).cpu().numpy() for n in before}
        assert compare(vec_engine_step(oracle, inputs, before), got) == [], seed
    assert step.ring.waits == 0


def test_broken_promises_are_counted(paged):
    inputs = batch(1, 3) | {"table_row": np.array([2 * REQ + 4, 0, 1], np.int32)}
    given = {
        n: torch.from_numpy(v).cuda() if isinstance(v, np.ndarray) else v for n, v in inputs.items()
    }
    plan = paged_decode(page=4, window=6, ring=9, most=5, max_model_len=48)
    step = plan.compile(**SIZES)
    step(**given)
    assert any("index outside block_table" in line for line in step.flags())


def test_beyond_what_a_program_sums_two_launches_do_it():
    """More points than one program sums by itself: block totals first, then the rest."""
    req, tok, columns = 16384, 65536, 8
    plan = paged_decode(page=4, window=6, ring=9, most=5, max_model_len=32, table_rows=64)
    step = plan.compile(req=req, tok=tok, row=64, page_col=columns)
    assert step.launches == 2
    rng = np.random.default_rng(0)
    for live in (0, 700, 12000):
        query = rng.integers(0, 5, live).astype(np.int32)
        inputs = {
            "req": live,
            "num_tokens": (query + rng.integers(0, 27, live)).astype(np.int32),
            "num_rejected": np.zeros(live, np.int32),
            "query_len": query,
            "table_row": rng.integers(0, 64, live).astype(np.int32),
            "block_table": rng.integers(0, 1 << 20, (64, columns), np.int32),
            "graph_tokens": tok,
        }
        before = paged_buffers(PLAN, req, tok, columns)
        fill(step, before)
        step(
            **{
                n: torch.from_numpy(v).cuda() if isinstance(v, np.ndarray) else v
                for n, v in inputs.items()
            }
        )
        assert wrong(step, inputs, before) == []


@mp.plan
def counted(n: Annotated[i32, "req", mp.below(9)], total: Annotated[i32, "req", mp.STATE]):
    mp.axis("req")
    return dict(total_now=mp.update(total, total % (1 << 20) + n), seen=n + 0)


def test_warming_up_and_capturing_change_no_state():
    step = counted.compile(req=4, device="cuda")
    n, total = (torch.tensor(x, dtype=torch.int32, device="cuda") for x in ([1, 2, 3, 4], [0] * 4))
    req = torch.tensor([4], dtype=torch.int32, device="cuda")
    step.bind(n=n, total=total, req=req)

    def whole_step():
        step.emit()

    for _ in range(3):
        whole_step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        whole_step()
    assert total.tolist() == [0, 0, 0, 0]
    for _ in range(5):
        graph.replay()
    assert total.tolist() == [5, 10, 15, 20]


def test_a_call_that_changes_states_is_refused_while_a_graph_is_captured():
    step = counted.compile(req=4, device="cuda")
    n, total = (torch.ones(4, dtype=torch.int32, device="cuda") for _ in range(2))
    req = torch.tensor([4], dtype=torch.int32, device="cuda")
    step(n=n, total=total, req=req)
    refused = []
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        try:
            step()
        except mp.CallError as error:
            refused.append(str(error))
        step.emit()
    assert "being captured" in refused[0]
    assert total.tolist() == [2, 2, 2, 2]


def test_another_view_at_the_same_address_is_read_by_its_own_strides(paged):
    inputs, before = batch(9, 3), paged_buffers(PLAN, REQ, TOK, PAGE_COL)
    given = on_gpu(at_capacity(inputs))
    paged(**given)
    name = "block_table"
    table = given[name]
    wide = torch.zeros(len(table), table.shape[1] + 5, dtype=table.dtype, device="cuda")
    wide[:, : table.shape[1]] = table
    flat = wide.flatten()[: table.numel()].view(table.shape)
    paged(**{name: flat})
    fill(paged, before)
    paged(**{name: wide[:, : table.shape[1]]})
    assert wrong(paged, inputs, before) == []
