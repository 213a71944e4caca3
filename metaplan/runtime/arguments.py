"""Arguments of a kernel as the driver takes them: packed once, changed by one word."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

from metaplan.runtime.compiled import HIDDEN


class Packed:
    """One 8-byte cell for each argument, and the array of the cells' addresses.

    The cells live as long as this object, so the driver may be given ``pointers`` again and again.
    A narrow integer lies in the low bytes of its cell (all targets are little-endian).
    """

    def __init__(self, values: Mapping[str, int], hidden: int = HIDDEN) -> None:
        count = len(values) + hidden
        self.index = {name: i for i, name in enumerate(values)}
        self.cells = (ctypes.c_uint64 * count)(*(value for value in values.values()))
        first = ctypes.addressof(self.cells)
        self.pointers = (ctypes.c_void_p * count)(*(first + 8 * i for i in range(count)))

    def __setitem__(self, name: str, value: int) -> None:
        self.cells[self.index[name]] = value

    def __getitem__(self, name: str) -> int:
        return self.cells[self.index[name]]
