"""The replay scheduler: pages are conserved, the host's bound holds, every answer is complete."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from metaplan.replay import CODE, CONVERSATION, PageGroup, Scheduler, Settings, TraceError, generate
from metaplan.replay.pages import Pages

SMALL = Settings(
    max_requests=12,
    max_tokens=256,
    max_model_len=4096,
    pool_tokens=6000,
    step_seconds=0.1,
    groups=(PageGroup(16), PageGroup(32, reach=100)),
)
CASES = [
    SMALL,
    dataclasses.replace(SMALL, drafts=3, ragged=1.0, acceptance=0.4, seed=1),
    dataclasses.replace(SMALL, drafts=0, seed=2),
    dataclasses.replace(SMALL, drafts=5, acceptance=1.0, ragged=0.0, seed=3),
    dataclasses.replace(SMALL, drafts=2, acceptance=0.0, max_requests=1, seed=4),
]


def trace_of(settings, requests=40, statistics=CODE):
    trace = generate(statistics, requests, settings.seed)
    short = np.minimum(trace.context, 1500)
    return dataclasses.replace(trace, context=short, generated=np.minimum(trace.generated, 300))


@pytest.mark.parametrize("settings", CASES, ids=lambda s: f"k{s.drafts}-a{s.acceptance}")
def test_pages_have_one_owner_and_none_is_lost(settings):
    owners = [dict[int, int]() for _ in settings.all_groups]
    reused = 0
    seen = [set[int]() for _ in settings.all_groups]
    scheduler = Scheduler(trace_of(settings), settings)
    for step in scheduler.steps():
        assert not set(step.departed.tolist()) & set(step.state.tolist()) - {
            admission.state for admission in step.admitted
        }
        for g, group in enumerate(settings.all_groups):
            for page in step.freed[g].tolist():
                del owners[g][page]
            writes = step.page_writes[g]
            for state, page in zip(writes.state.tolist(), writes.page.tolist(), strict=True):
                assert page not in owners[g]
                assert 0 < page < settings.num_pages(group)
                owners[g][page] = state
                reused += page in seen[g]
                seen[g].add(page)
    assert scheduler.free_pages() == tuple(settings.num_pages(g) - 1 for g in settings.all_groups)
    assert reused > 0


@pytest.mark.parametrize("settings", CASES, ids=lambda s: f"k{s.drafts}-a{s.acceptance}")
def test_the_bound_holds_and_every_answer_is_complete(settings):
    trace = trace_of(settings)
    delivered = np.zeros(len(trace), np.int64)
    computed = np.zeros(len(trace), np.int64)
    late = 0
    for index, step in enumerate(Scheduler(trace, settings).steps()):
        assert step.index == index
        assert (computed[step.request] == step.computed).all()
        gap = step.computed_upper - step.computed
        assert ((gap >= 0) & (gap <= settings.drafts)).all()
        assert (step.computed_upper + step.query_len <= settings.max_model_len).all()
        assert step.num_tokens <= settings.max_tokens
        assert len(np.unique(step.state)) == len(step.state) <= settings.max_requests
        decode = np.arange(len(step.state)) < step.num_decodes
        assert ((step.computed >= trace.context[step.request]) == decode).all()
        assert ((step.query_len >= 1) & (step.num_draft < step.query_len)).all()
        assert (
            step.num_sampled[decode] + step.num_rejected[decode] == step.query_len[decode]
        ).all()
        assert (trace.arrival[step.request] <= step.seconds).all()
        delivered[step.request] += step.delivered
        computed[step.request] += step.query_len - step.num_rejected
        late += int(((step.delivered == 0) & decode).sum())
    assert delivered.tolist() == trace.generated.tolist()
    assert late > 0, "the host learns of an end one step late"


def test_the_seed_decides_everything():
    trace = trace_of(SMALL, 25)
    first, again = (list(Scheduler(trace, SMALL).steps()) for _ in range(2))
    other = list(Scheduler(trace, dataclasses.replace(SMALL, seed=9)).steps())
    assert len(first) == len(again)
    for a, b in zip(first, again, strict=True):
        for field in ("state", "query_len", "num_rejected", "sampled_tokens", "new_draft_tokens"):
            assert np.array_equal(getattr(a, field), getattr(b, field))
        for x, y in zip(a.page_writes, b.page_writes, strict=True):
            assert np.array_equal(x.page, y.page)
    assert any(
        not np.array_equal(a.sampled_tokens, b.sampled_tokens)
        for a, b in zip(first, other, strict=False)
    )


def test_idle_time_is_skipped():
    trace = dataclasses.replace(trace_of(SMALL, 3), arrival=np.array([0.0, 1e6, 2e6]))
    steps = list(Scheduler(trace, SMALL).steps())
    assert len(steps) < 2000
    assert steps[-1].seconds >= 2e6


def test_a_request_that_does_not_fit_is_refused():
    trace = generate(CONVERSATION, 5, 0)
    trace = dataclasses.replace(trace, context=np.array([9, 9, 5000, 9, 9], np.int32))
    with pytest.raises(
        TraceError, match=r"request 2: 5000 (.*\n).* raise max_model_len to at least"
    ):
        Scheduler(trace, dataclasses.replace(SMALL, max_model_len=4096))


def test_settings_say_what_to_write():
    with pytest.raises(ValueError, match="write at least max_requests"):
        Settings(max_requests=64, drafts=7, max_tokens=100)
    with pytest.raises(ValueError, match="let the first be a PageGroup with reach 0"):
        Settings(groups=(PageGroup(16, reach=9),))
    with pytest.raises(ValueError, match="write more than max_model_len"):
        Settings(pool_tokens=100)


def test_a_pool_gives_the_last_freed_page_first():
    pages = Pages(6, np.random.default_rng(0))
    taken = pages.take(5)
    assert sorted(taken.tolist()) == [1, 2, 3, 4, 5]
    pages.give(taken[1:3])
    assert set(pages.take(2).tolist()) == set(taken[1:3].tolist())
    with pytest.raises(AssertionError):
        pages.take(1)
