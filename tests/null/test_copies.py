"""A plan with its copies written out means what the plan means; what they mention is found."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import metaplan as mp
from metaplan import copies, i32, ir
from metaplan.compiler import build
from metaplan.errors import CallError, PlanError
from metaplan.interp import buffer_shape
from metaplan.lang.plan import Plan
from metaplan.passes.bind import bind
from metaplan.passes.pipeline import stages
from metaplan.reach import reach
from metaplan.runtime.inputs import slots
from metaplan.runtime.lists import Tables, addresses
from metaplan.target import DEFAULT
from tests.random_plans import REQ, SIZES, batch, plans
from tests.running import filled, garbage_buffers, wrong
from tests.samples.copying import BEAMS, both_copies, cache_groups, draft_steps

pytestmark = pytest.mark.null


@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(plans(depth=2, copied=True), st.integers(0, 1000), st.sampled_from([0, 2, REQ]))
def test_written_out_copies_mean_the_same(plan: Plan, seed: int, live: int) -> None:
    try:
        made = list(stages(plan.ir, SIZES, plan.ir.copies))
    except PlanError:
        assume(False)
    bound = made[0][1]
    want = garbage_buffers(bound, seed)
    filled(bound, batch(seed, live), want)
    for name, after in made[1:]:
        got = garbage_buffers(bound, seed)
        filled(after, batch(seed, live), got)
        assert not wrong(want, got), name


@mp.plan
def transitive(n: Annotated[i32, "req", mp.below(5)]):
    req = mp.axis("req")
    step = mp.steps(2)
    group = mp.groups(3)
    tok = mp.ragged(req, mp.minimum(n, step.index))
    row = mp.pieces(req, head=n, rest=group.index + 0 * n)
    win = mp.dense(tok, 2)
    return dict(
        alone=mp.sum(n, over=req),
        by_length=mp.on(win, n),
        by_size=tok.size + n,
        by_part=mp.join(row, head=n),
        by_tail=mp.tail(n, group.index),
        by_until=mp.tail(n, 0, until=tok.size),
        by_place=mp.put(tok, group.index, 1, combine="add"),
        by_guard=mp.keep(n, where=n > step.index),
        both=tok.size + group.index,
    )


def test_what_depends_on_a_copy_is_found_through_its_axes() -> None:
    own = {o.name: [str(n.name) for n, _ in o.copies] for o in transitive.ir.outputs}
    assert own == {
        "alone": [],
        "by_length": ["step"],
        "by_size": ["step"],
        "by_part": ["group"],
        "by_tail": ["group"],
        "by_until": ["step"],
        "by_place": ["step", "group"],
        "by_guard": ["step"],
        "both": ["step", "group"],
    }


def test_the_buffers_have_the_copies_first() -> None:
    bound = bind(draft_steps.ir, {"req": 4})
    shapes = {o.name: buffer_shape(bound, o) for o in bound.outputs}
    room = 4 * BEAMS * (4 + 3)
    assert shapes["indptr"] == (3, 4 * BEAMS + 1)
    assert shapes["indices"] == (3, room)
    assert shapes["total"] == (3, 1)
    assert shapes["shared"] == (4,)


def test_places_of_copies() -> None:
    which = ir.Which("step", 3)
    loc = which.loc
    assert copies.place([], (), 10, loc) is None
    assert copies.place([ir.Const(0)], (3,), 10, loc) is None
    assert copies.place([ir.Const(2), ir.Const(1)], (3, 2), 10, loc) == ir.Const(50)
    assert copies.place([which], (3,), 1, loc) == which


def test_each_tensor_of_a_list_is_as_wide_as_its_group_reads() -> None:
    built = build(cache_groups.ir, {"req": 5, "row": 7}, DEFAULT)
    (tables,) = (i for i in built.bound.inputs if i.each)
    assert reach(built.placed, tables) == ((7, 3), (7, 6), (7, 2))
    assert built.bound.extents(tables) == (3, 7, 6)


@pytest.mark.parametrize("rows", [7, 9])
def test_a_step_takes_lists_of_tensors_of_their_own_widths(rows: int) -> None:
    step = cache_groups.compile(req=5, row=7, device="cpu")
    tables = [np.full((rows, wide), g, np.int32) for g, wide in enumerate((3, 8, 2))]
    step(n=[12, 1], rows=[0, 6], tables=tables, scale=[1, 2, 3], req=2)
    assert step.pages[:, :2].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert step.scaled[:, 0].tolist() == [12, 24, 36]
    assert step.counted.tolist() == [13]


def test_a_stacked_input_is_as_short_as_the_live_rows() -> None:
    step = both_copies.compile(req=6, device="cpu")
    stacked = np.arange(3 * 2 * 4, dtype=np.int32).reshape(3, 2, 4) % 9
    count = torch.zeros(3, 2, dtype=torch.int32)
    step(n=[3, 1], stacked=stacked, count=count, req=2)
    assert count.tolist() == [[3, 1], [6, 2], [9, 3]]
    with pytest.raises(CallError, match=r"stacked has shape \[3, 1, 4\]"):
        step(n=[3, 1], stacked=stacked[:, :1], count=count, req=2)


def test_the_reason_is_told() -> None:
    told = cache_groups.compile(req=5, row=7, device="cpu").explain()
    assert "group: 3 copies, written out: a divisor depends on it" in told
    told = draft_steps.compile(req=4, device="cpu").explain()
    assert "step: 3 copies share their lines" in told


def test_the_table_of_a_list_is_written_when_a_tensor_moves() -> None:
    built = build(cache_groups.ir, {"req": 5, "row": 7}, DEFAULT)
    tables = Tables(slots(built.bound, built.placed), "cpu", 1)
    lists = [torch.zeros(7, 8, dtype=torch.int32)[:, :wide] for wide in (3, 6, 2)]
    block = tables.ring.mover.block.numpy().view(np.int64)
    tables.take({"tables": tuple(lists)})
    assert block[:6].reshape(3, 2).tolist() == addresses(lists).tolist()
    slot = tables.ring.slot
    tables.take({"tables": tuple(lists)})
    assert tables.ring.slot == slot
    lists[1] = torch.zeros(7, 6, dtype=torch.int32)
    tables.take({"tables": tuple(lists)})
    assert tables.ring.slot == slot + 1
    assert block[:6].reshape(3, 2).tolist() == addresses(lists).tolist()
