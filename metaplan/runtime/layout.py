"""Named arrays at fixed offsets of one block of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

WIDTHS: Mapping[str, int] = {"i32": 4, "i64": 8, "u8": 1, "u16": 2, "i1": 1}
"""Bytes of an element; i1 is a bool of one byte, as in NumPy and torch."""

NUMPY: Mapping[str, str] = {
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "i1": "bool",
}
"""The name that NumPy and torch share for each element type."""


@dataclass(frozen=True, slots=True)
class Field:
    """One array: its name, its element type and its shape; a scalar has the shape ()."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        return WIDTHS[self.dtype] * prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each field begins, in bytes, and how long the whole block is."""

    fields: tuple[Field, ...]
    offsets: Mapping[str, int]
    bytes: int


def pack(fields: Iterable[Field], *, align: int, gap: int = 0, least: int | None = None) -> Layout:
    """Places fields one after the other at multiples of ``align`` with ``gap`` bytes between them.

    ``least``: a field of fewer bytes than ``align`` may begin at a multiple of the power of two that holds it, from
    ``least`` on. Small fields then lie in as few lines as they can, and none in more than its size asks for.
    """
    offsets: dict[str, int] = {}
    placed, end = tuple(fields), 0
    for field in placed:
        assert field.name not in offsets, f"two fields named {field.name}"
        assert field.dtype in WIDTHS, f"{field.name}: no width for {field.dtype}"
        small = align if least is None else max(least, _power(field.bytes))
        offsets[field.name] = _up(end, min(align, small))
        end = offsets[field.name] + field.bytes + gap
    return Layout(placed, offsets, _up(end, align))


def _power(value: int) -> int:
    """The least power of two that is not below ``value``."""
    return 1 << max(value - 1, 0).bit_length()


def _up(value: int, align: int) -> int:
    return -(-value // align) * align
