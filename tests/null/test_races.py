"""Which index forms name no element twice: those that are shown to, and none of which two points are alike."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metaplan as mp
from metaplan import i32, i64, interp, ir
from metaplan.lang.values import Value, lift
from metaplan.passes.bind import bind
from metaplan.passes.rewrite import Rewriter
from metaplan.races import distinct

pytestmark = pytest.mark.null

REQ = 6
Form = Callable[[Any], Any]


def declared(make: Callable[[SimpleNamespace], None]) -> ir.Plan:
    """A plan with an axis of each kind and inputs to index with; ``make`` looks at what it is made of."""

    @mp.plan
    def indexed(
        n: Annotated[i32, "req", mp.below(5)],
        slot: Annotated[i32, "req", mp.between(-1, 40), mp.DISTINCT],
        page: Annotated[i64, "req", mp.between(0, 40), mp.DISTINCT],
        key: Annotated[i32, "req", mp.between(-3, 9)],
        cell: Annotated[i32, "req", 4, mp.between(0, 99), mp.DISTINCT],
        order: Annotated[i32, "order", mp.between(0, 99), mp.DISTINCT],
        size: Annotated[i32, mp.between(1, 5)],
    ):
        req = mp.axis("req")
        tok = mp.ragged(req, n)
        row = mp.dense(tok, 3)
        wide = mp.dense(req, 4)
        few = mp.compact(req, where=n > 1)
        made = mp.pieces(req, head=n, rest=n * 0 + 2)
        make(SimpleNamespace(**locals()))
        read = key + slot + i32(page) + size + order[req.index]
        return dict(read=read, cells=cell[req, wide.offset], few=mp.on(few, n), end=row.index,
                    join=mp.join(made, head=1))  # fmt: skip

    return indexed.ir


def shown(form: Form, where: Form | None = None) -> bool:
    """Whether the points of the axis of ``form`` are told apart by it."""
    found: list[bool] = []

    def look(p: SimpleNamespace) -> None:
        made = form(p)
        index = tuple(lift(e) for e in (made if isinstance(made, tuple) else (made,)))
        guard = None if where is None else lift(where(p))
        axis: ir.Axis | None = None
        for e in index:
            axis = ir.deeper(axis, ir.axis_of(e))
        found.append(distinct(index, axis, guard))

    declared(look)
    return found[0]


APART: dict[str, Form] = {
    "the point itself": lambda p: p.req.index,
    "shifted": lambda p: p.tok.index + 7,
    "backwards": lambda p: 99 - p.tok.index,
    "in steps": lambda p: p.tok.index * 3 + 1,
    "widened": lambda p: mp.i64(p.tok.index) * 5,
    "row and place": lambda p: (p.req.index, p.tok.offset),
    "three levels": lambda p: (p.req.index, p.tok.offset, p.row.offset),
    "packed by hand": lambda p: p.tok.indptr + p.tok.offset,
    "a row of a packed axis": lambda p: (p.tok.indptr + p.tok.offset) * 3 + p.row.offset,
    "row * width + place": lambda p: p.req.index * 4 + p.tok.offset,
    "with room": lambda p: p.req.index * 64 + p.wide.offset,
    "nested widths": lambda p: p.req.index * 12 + p.tok.offset * 3 + p.row.offset,
    "place + row * width": lambda p: p.wide.offset + 4 * p.req.index,
    "a distinct input": lambda p: p.slot,
    "a distinct input, widened": lambda p: mp.i64(p.slot),
    "never negative, moved": lambda p: p.page + 3,
    "negative at most as before": lambda p: p.slot - 2,
    "a distinct row and a place": lambda p: (p.slot, p.tok.offset),
    "a distinct row, and a place from a base": lambda p: (p.slot, p.key + p.tok.offset),
    "a distinct row * width + place": lambda p: p.slot * 4 + p.tok.offset,
    "a distinct page * width + place": lambda p: p.page * 4 + mp.i64(p.tok.offset),
    "of two dimensions": lambda p: p.cell[p.req.index, p.wide.offset],
    "through another one": lambda p: p.order[p.page],
    "cuts": lambda p: p.tok.cuts,
    "a partition": lambda p: mp.partition(p.tok.offset > 1),
    "a partition of each row": lambda p: (p.req.index, mp.partition(p.tok.offset > 1, per=p.req)),
    "a selected row": lambda p: p.few.index,
    "the row of a selected row": lambda p: p.few.row,
    "a part": lambda p: p.made.rest.index,
    "the sum so far of what is positive": lambda p: mp.indptr(p.n + 1),
    "a place of a stretch": lambda p: mp.indptr(p.n + 1) + p.n,
}  # fmt: skip

ALIKE: dict[str, Form] = {
    "a value": lambda p: p.key,
    "a constant": lambda p: p.req.index * 0,
    "the row only": lambda p: p.tok.row + 0 * p.tok.offset,
    "the place only": lambda p: p.tok.offset,
    "a row too narrow": lambda p: p.req.index * 3 + p.tok.offset,
    "row + place": lambda p: p.req.index + p.tok.offset,
    "halved": lambda p: p.tok.index // 2,
    "wrapped around": lambda p: p.tok.index % 8,
    "the start of rows that may be empty": lambda p: p.tok.indptr,
    "behind the row": lambda p: p.tok.indptr + p.n,
    "a base of its own": lambda p: p.key + p.tok.offset,
    "a negative number moved to 0": lambda p: p.slot + 1,
    "a negative number * width + a long place": lambda p: p.slot * 3 + p.tok.offset,
    "a negative number mirrored": lambda p: 40 - p.slot,
    "a distinct input beside a value": lambda p: p.slot + p.key,
    "a distinct row alone": lambda p: p.slot + 0 * p.tok.offset,
    "at an index that repeats": lambda p: p.order[p.key],
    "a width that is a value": lambda p: p.req.index * p.size + p.tok.offset,
    "a partition of each row, alone": lambda p: mp.partition(p.tok.offset > 1, per=p.req),
    "lower bits": lambda p: mp.wrapped(mp.i64(p.tok.index) << 31),
    "the smaller": lambda p: mp.minimum(p.req.index, 3),
    "rows and a deeper place": lambda p: (p.req.index, p.row.offset),
}


@pytest.mark.parametrize("form", APART.values(), ids=APART)
def test_points_are_told_apart(form: Form) -> None:
    assert shown(form)


@pytest.mark.parametrize("form", ALIKE.values(), ids=ALIKE)
def test_points_may_be_alike(form: Form) -> None:
    assert not shown(form)


GUARDED: dict[str, tuple[Form, Form]] = {
    "moved where it is real": (lambda p: p.slot + 1, lambda p: p.slot >= 0),
    "the last of each row": (lambda p: p.tok.indptr + p.n - 1, lambda p: p.n > 0),
    "the first of each row": (lambda p: p.tok.indptr, lambda p: (p.n > 0) & (p.key > 0)),
    "as far as a row goes": (lambda p: p.req.index * 2 + p.tok.offset, lambda p: p.tok.offset < 2),
}


@pytest.mark.parametrize("case", GUARDED.values(), ids=GUARDED)
def test_a_condition_tells_points_apart(case: tuple[Form, Form]) -> None:
    form, where = case
    assert not shown(form)
    assert shown(form, where)


def test_a_whole_batch_is_one_point() -> None:
    assert shown(lambda p: p.size)


# ------------------------------------------------------ nothing is shown that is not so

TERMS: tuple[Form, ...] = (
    lambda p: p.req.index,
    lambda p: p.tok.offset,
    lambda p: p.tok.index,
    lambda p: p.tok.indptr,
    lambda p: p.n,
    lambda p: p.slot,
    lambda p: i32(p.page),
    lambda p: p.key,
    lambda p: p.size,
    lambda p: p.order[p.req.index],
    lambda p: p.order[p.page],
    lambda p: mp.partition(p.tok.offset + p.key > 1),
    lambda p: mp.indptr(p.n + 1),
    lambda p: mp.indptr(p.key),
    lambda p: mp.expect(p.key, 0, 3),
)
GUARDS: tuple[Form, ...] = (
    lambda p: p.slot >= 0,
    lambda p: p.n > 0,
    lambda p: p.key > 2,
    lambda p: p.tok.offset < 2,
)
SUMS = st.lists(
    st.tuples(st.sampled_from(TERMS), st.sampled_from((-4, -1, 1, 1, 1, 2, 3, 4, 16))), min_size=1, max_size=4
)  # fmt: skip
INDICES = st.lists(st.tuples(SUMS, st.integers(-3, 3)), min_size=1, max_size=2)


def _batch(plan: ir.Plan, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    slot = rng.permutation(12)[:REQ] - 1
    slot = np.where(rng.random(REQ) < 0.5, -1, slot)
    given = dict(
        n=rng.integers(0, 5, REQ),
        slot=slot,
        page=rng.permutation(12)[:REQ],
        key=rng.integers(-3, 10, REQ),
        cell=rng.permutation(100)[: 4 * REQ].reshape(REQ, 4),
        order=rng.permutation(100)[:41],
        size=rng.integers(1, 6, 1),
    )
    dtypes = {i.name: i.dtype.value for i in plan.inputs}
    return {n: np.asarray(v, dtypes[n]) for n, v in given.items()}, {"req": REQ}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(INDICES, st.none() | st.sampled_from(GUARDS), st.integers(0, 1 << 20))
def test_what_is_shown_holds(indices: Any, guard: Form | None, seed: int) -> None:
    taken: list[tuple[tuple[ir.Expr, ...], ir.Expr | None]] = []

    def look(p: SimpleNamespace) -> None:
        index: list[Value] = []
        for terms, shift in indices:
            total: Any = shift
            for term, times in terms:
                total = total + term(p) * times
            index.append(total)
        taken.append((tuple(map(lift, index)), None if guard is None else lift(guard(p))))

    plan = declared(look)
    index, where = taken[0]
    axis: ir.Axis | None = None
    for e in (*index, *([] if where is None else [where])):
        axis = ir.deeper(axis, ir.axis_of(e))
    if not distinct(index, axis, where):
        return
    bound = bind(plan, {"req": REQ, "order": 41})
    for more in range(8):
        inputs, live = _batch(bound, np.random.default_rng([seed, more]))
        run = interp._Run(bound, inputs, live, {})
        names = {a.name: a for a in bound.axes}
        points = run.points(None if axis is None else names[axis.name])
        rows = np.stack([run.eval(_bound(e, bound), points) for e in index])
        kept = (rows >= 0).all(0)
        if where is not None:
            kept &= run.eval(_bound(where, bound), points)
        assert len(np.unique(rows[:, kept], axis=1).T) == kept.sum()


def _bound(e: ir.Expr, plan: ir.Plan) -> ir.Expr:
    """``e`` over the axes of the plan whose sizes are bound."""
    names = {a.name: a for a in plan.axes}
    return Rewriter(axis_rule=lambda a: names[a.name]).expr(e)
