"""Fields lie at aligned offsets, apart from each other, in the order in which they were given."""

from __future__ import annotations

import ctypes

import pytest

from metaplan.runtime.arguments import Packed
from metaplan.runtime.layout import Field, pack

pytestmark = pytest.mark.null

FIELDS = (
    Field("rows", "i32", (5,)),
    Field("flags", "i1", (3,)),
    Field("count", "i64"),
    Field("none", "i32", (0,)),
    Field("table", "u8", (2, 7)),
)


@pytest.mark.parametrize("align", [16, 256])
@pytest.mark.parametrize("gap", [0, 40])
def test_fields_are_aligned_and_apart(align: int, gap: int):
    layout = pack(FIELDS, align=align, gap=gap)
    end = 0
    for field in layout.fields:
        first = layout.offsets[field.name]
        assert first % align == 0
        assert first >= end
        end = first + field.bytes + gap
    assert layout.bytes >= end
    assert layout.bytes % align == 0


def test_small_fields_share_lines_and_cross_none():
    sizes = (4, 8, 8, 4, 40, 100, 300, 16, 0, 128, 3)
    fields = [Field(f"field_{at}", "u8", (size,)) for at, size in enumerate(sizes)]
    layout = pack(fields, align=256, least=16)
    offsets = list(layout.offsets.values())
    assert offsets == [0, 16, 32, 48, 64, 128, 256, 560, 576, 640, 768]
    for size, first in zip(sizes, offsets, strict=True):
        assert first % 16 == 0
        assert first // 128 == (first + max(size, 1) - 1) // 128 or size > 128


def test_bytes_of_a_field():
    assert [field.bytes for field in FIELDS] == [20, 3, 8, 0, 14]


def test_a_name_can_be_given_once():
    with pytest.raises(AssertionError, match="two fields named rows"):
        pack((FIELDS[0], FIELDS[0]), align=16)


def test_arguments_are_packed_once_and_changed_in_place():
    packed = Packed({"a": 1 << 40, "b": -3, "c": 7})
    assert len(packed.pointers) == 3 + 2
    before = list(packed.pointers)
    packed["c"] = 9
    assert list(packed.pointers) == before
    address = before[packed.index["b"]]
    assert address is not None
    assert ctypes.c_int32.from_address(address).value == -3
    assert ctypes.c_int64.from_address(address).value == -3
    assert packed["a"] == 1 << 40
    assert packed["c"] == 9
    assert [packed.cells[3], packed.cells[4]] == [0, 0]
