"""Outputs are aligned, contiguous, zeroed, apart, and always at the same address."""

from __future__ import annotations

import pytest
import torch

from metaplan.runtime.buffers import ALIGN, LEAST, allocate
from metaplan.runtime.layout import Field

pytestmark = pytest.mark.null

FIELDS = (
    Field("positions", "i64", (5,)),
    Field("table", "i32", (3, 4)),
    Field("padding", "i1", (9,)),
    Field("empty", "i32", (0, 4)),
    Field("count", "i32", (1,)),
)


def test_outputs_have_their_type_shape_and_alignment():
    buffers = allocate(FIELDS, "cpu")
    assert list(buffers) == [field.name for field in FIELDS]
    assert {k: (v.dtype, tuple(v.shape)) for k, v in buffers.items()} == {
        "positions": (torch.int64, (5,)),
        "table": (torch.int32, (3, 4)),
        "padding": (torch.bool, (9,)),
        "empty": (torch.int32, (0, 4)),
        "count": (torch.int32, (1,)),
    }
    for tensor in buffers.values():
        assert tensor.is_contiguous()
        assert tensor.numel() == 0 or tensor.data_ptr() % LEAST == 0
        assert not tensor.any()


def test_addresses_do_not_move():
    buffers = allocate(FIELDS, "cpu")
    before = {name: tensor.data_ptr() for name, tensor in buffers.items()}
    for tensor in buffers.values():
        tensor.fill_(1)
    assert {name: tensor.data_ptr() for name, tensor in buffers.items()} == before


def test_outputs_do_not_overlap_and_a_gap_stays_untouched():
    buffers = allocate(FIELDS, "cpu", gap=64)
    buffers.arena.fill_(0xAB)
    for number, tensor in enumerate(buffers.values()):
        tensor.fill_(number % 2)
    for number, tensor in enumerate(buffers.values()):
        assert (tensor == number % 2).all()
    touched = sum(field.bytes for field in FIELDS)
    assert int((buffers.arena == 0xAB).sum()) == buffers.arena.numel() - touched


def test_bytes_are_accounted_for():
    buffers = allocate(FIELDS, "cpu")
    assert buffers.sizes() == {"positions": 40, "table": 48, "padding": 9, "empty": 0, "count": 4}
    assert buffers.bytes == ALIGN
