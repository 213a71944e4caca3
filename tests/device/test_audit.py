"""Every kind of wait that is planted into a region is found, and said to be what it is."""

from __future__ import annotations

import ctypes

import pytest
import torch

from metaplan.auditing.regions import assert_sync_free, audit
from metaplan.errors import SyncError

pytestmark = pytest.mark.device

kept: list[torch.Tensor] = []


def item():
    torch.ones(1, device="cuda").item()


def tolist():
    torch.ones(3, device="cuda").tolist()


def nonzero():
    torch.ones(3, device="cuda").nonzero()


def event_wait():
    event = torch.cuda.Event()
    event.record()
    event.synchronize()


def stream_wait():
    torch.cuda.current_stream().synchronize()


def device_wait():
    torch.cuda.synchronize()


def driver_wait():
    ctypes.CDLL("libcuda.so.1").cuCtxSynchronize()


def pageable_in():
    torch.ones(1 << 20).to("cuda", non_blocking=True)


def pageable_out():
    torch.empty(1 << 20).copy_(torch.ones(1 << 20, device="cuda"), non_blocking=True)


def small_pageable_in():
    torch.ones(8).to("cuda", non_blocking=True)


def allocation():
    kept.append(torch.empty(48 << 20, dtype=torch.uint8, device="cuda"))


def pinned_allocation():
    kept.append(torch.empty((5 << 20) + 4096 * len(kept), dtype=torch.uint8, pin_memory=True))


WAITS = (item, tolist, nonzero, event_wait, stream_wait, device_wait)
COPIES = (pageable_in, pageable_out, small_pageable_in)


@pytest.fixture(autouse=True)
def _forget():
    yield
    kept.clear()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


@pytest.mark.parametrize("planted", WAITS)
def test_a_wait_is_found(planted):
    found = audit(planted)
    assert found.blocked
    assert any(one.kind == "wait" for one in found.findings), str(found)


@pytest.mark.parametrize("planted", WAITS)
def test_a_wait_is_found_in_a_region_with_its_line(planted):
    planted()
    with pytest.raises(SyncError, match=r"wait: .* at test_audit\.py:\d+"), assert_sync_free():
        planted()


def test_a_wait_of_another_library_is_found():
    assert audit(driver_wait).blocked
    with pytest.raises(SyncError, match="GPU work before it"), assert_sync_free():
        driver_wait()


@pytest.mark.parametrize("planted", COPIES)
def test_a_pageable_copy_is_found(planted):
    found = audit(planted)
    assert any(one.kind == "pageable copy" for one in found.findings), str(found)
    with pytest.raises(SyncError, match=r"pageable copy: .* at test_audit\.py"), assert_sync_free():
        planted()


def test_an_allocation_is_found():
    found = audit(allocation)
    assert any(one.kind == "allocation" for one in found.findings), str(found)
    with pytest.raises(SyncError, match="allocation: cudaMalloc"), assert_sync_free():
        allocation()


def test_a_pinned_allocation_is_found():
    found = audit(pinned_allocation)
    assert any(one.kind == "allocation" for one in found.findings), str(found)


def test_a_side_stream_is_watched_when_named():
    side = torch.cuda.Stream()

    def wait_for_side():
        side.query()
        ctypes.CDLL("libcuda.so.1").cuStreamSynchronize(ctypes.c_void_p(side.cuda_stream))

    assert audit(wait_for_side, streams=(side,)).blocked


def test_clean_work_passes():
    a = torch.ones(1000, device="cuda")
    pinned = torch.ones(1000, pin_memory=True)

    def work():
        a.copy_(pinned, non_blocking=True)
        a.add_(1)

    assert audit(work).clean
    with assert_sync_free():
        work()


def test_torch_is_left_as_it_was():
    before = torch.cuda.synchronize, torch.cuda.Event.synchronize, torch.cuda.Stream.synchronize
    audit(lambda: None)
    with assert_sync_free():
        pass
    after = torch.cuda.synchronize, torch.cuda.Event.synchronize, torch.cuda.Stream.synchronize
    assert before == after
    assert torch.cuda.get_sync_debug_mode() == 0


def test_an_error_of_the_body_is_the_error():
    with pytest.raises(KeyError), assert_sync_free():
        raise KeyError("of the body")
