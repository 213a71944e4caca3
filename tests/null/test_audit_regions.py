"""What the auditor makes of a trace, and that it refuses to guess on a machine without a GPU."""

from __future__ import annotations

import pytest
import torch

from metaplan.auditing.finding import Finding
from metaplan.auditing.profiled import REGION, judge
from metaplan.auditing.regions import Audit, assert_sync_free, audit
from metaplan.auditing.watch import crossing
from metaplan.errors import CallError

pytestmark = pytest.mark.null

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def trace(*names: str) -> list[tuple[str, float, float]]:
    return [
        ("cudaDeviceSynchronize", 0.0, 1.0),
        (REGION, 10.0, 20.0),
        *((name, 15.0, 16.0) for name in names),
        ("cudaDeviceSynchronize", 30.0, 31.0),
    ]


def test_a_launch_is_clean():
    calls, found = judge(trace("cuLaunchKernelEx", "cudaMemcpyAsync", "aten::add_"))
    assert calls == {"cuLaunchKernelEx": 1, "cudaMemcpyAsync": 1}
    assert found == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cudaStreamSynchronize", "wait"),
        ("cudaEventSynchronize", "wait"),
        ("cudaDeviceSynchronize", "wait"),
        ("cuMemcpyDtoH_v2", "wait"),
        ("cudaMalloc", "allocation"),
        ("cuMemCreate", "allocation"),
        ("cudaHostAlloc", "allocation"),
        ("Memcpy HtoD (Pageable -> Device)", "pageable copy"),
        ("Memcpy DtoH (Device -> Pageable)", "pageable copy"),
    ],
)
def test_each_kind_is_named(name: str, kind: str):
    _, found = judge(trace(name, name))
    assert found == (Finding(kind, name, count=2),)


def test_a_pinned_copy_that_ends_late_is_counted_and_clean():
    late = [*trace(), ("Memcpy HtoD (Pinned -> Device)", 50.0, 52.0)]
    assert judge(late) == ({"Memcpy HtoD (Pinned -> Device)": 1}, ())


def test_cpu_copies_cross_nothing():
    a = torch.zeros(3)
    assert crossing(torch.ops.aten.copy_.default, (a, a), a) is None
    assert crossing(torch.ops.aten.add.Tensor, (a, a), a) is None


def test_the_report_says_what_and_where():
    found = (
        Finding("wait", "item()", ("loop.py:12",)),
        Finding("allocation", "cudaMalloc", count=2),
    )
    text = str(Audit(True, 52_000.0, 50_000.0, found, {}))
    assert text.splitlines() == [
        "the region is not sync-free (52.00 ms on the host)",
        "  it ended after the 50 ms of GPU work before it",
        "  wait: item() at loop.py:12",
        "  allocation: cudaMalloc x2",
    ]
    assert str(Audit(False, 3.21, 50_000.0, (), {})) == "sync-free: 3.2 us on the host"


@without_gpu
def test_no_gpu_is_said():
    with pytest.raises(CallError, match="a sync audit needs a GPU"):
        audit(lambda: None)
    with pytest.raises(CallError, match="a sync audit needs a GPU"), assert_sync_free():
        pass
