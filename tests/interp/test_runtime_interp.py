"""A sequence under the Triton interpreter: the same interface, on CPU tensors."""

from __future__ import annotations

import pytest
import torch

from metaplan.runtime.compiled import INTERPRET, compile_kernel
from metaplan.runtime.launch import Launch, Sequence, Staged
from metaplan.runtime.layout import Field
from metaplan.runtime.movers import mover_for
from metaplan.runtime.staging import Ring
from tests.adding import TYPES, add

pytestmark = pytest.mark.interp


def bound(way: str | None = None) -> tuple[Sequence, Ring, torch.Tensor]:
    kernel = compile_kernel(add, TYPES, {"BLOCK": 4}, target=INTERPRET)
    ring = Ring((Field("values", "i32", (8,)), Field("count", "i32")), mover_for("cpu"), lag=1)
    out = torch.full((8,), -7, dtype=torch.int32)
    arguments = {"out": out, "values": Staged("values"), "count": Staged("count"), "more": 10}
    return Sequence((Launch(kernel, 2, arguments),), "cpu", ring=ring, way=way), ring, out


def test_staged_values_arrive_step_by_step():
    sequence, ring, out = bound()
    assert sequence.way == "interpret"
    for step in range(12):
        views = ring.begin()
        views["values"][:] = step
        views["count"][0] = 5
        sequence.launch()
        assert out.tolist() == [step + 10] * 5 + [-7] * 3


def test_record_leaves_the_copy_to_the_caller():
    sequence, ring, out = bound()
    ring.begin()["count"][0] = 8
    sequence.record()
    assert out.tolist() == [-7] * 8
    ring.commit()
    sequence.record()
    assert out.tolist() == [10] * 8


def test_rebinding_an_argument():
    sequence, ring, out = bound()
    other = torch.zeros_like(out)
    sequence.rebind("out", other)
    sequence.rebind("more", -1)
    ring.begin()["count"][0] = 8
    sequence.launch()
    assert out.tolist() == [-7] * 8
    assert other.tolist() == [-1] * 8


def test_arguments_must_be_exactly_the_kernels():
    kernel = compile_kernel(add, TYPES, {"BLOCK": 4}, target=INTERPRET)
    with pytest.raises(AssertionError, match="arguments differ"):
        Sequence((Launch(kernel, 1, {"out": torch.zeros(1)}),), "cpu")
