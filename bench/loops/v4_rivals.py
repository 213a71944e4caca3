# pyright: basic
"""DeepSeek-V4's decode preparation on the host, before and after ATOM's PR 728, on the fields of today.

Before: copies in line, the window matrix by a chain of small torch ops on the device, the compressed history in a
Python loop over tokens. After: five copies (six now) on a stream of their own while NumPy makes the compress plans;
window matrix and compressed history in NumPy, without a loop. Both translate the window matrix into rows of each
layer class on the device, as that builder did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.check import Judge
from bench.loops import device, v4_host
from bench.rivals.geometry import CLASSES, V4

Arrays = dict[str, np.ndarray]


class Windows:
    """Window cells as rows of a layer class, at the end of each token's list."""

    def __init__(self, v4: V4, out: dict[str, torch.Tensor], where: str) -> None:
        self.v4 = v4
        self.lane = torch.arange(v4.window, dtype=torch.int32, device=where)
        self.rows: dict[str, torch.Tensor] = {}
        self.lists: dict[str, torch.Tensor] = {}
        for name, ring in zip(CLASSES, v4.rings, strict=True):
            if ring is None:
                continue
            cells = torch.arange(ring.size, dtype=torch.int32, device=where)
            self.rows[name] = ring.row(0, cells).to(torch.int32)
            # One cell more than the list: where lanes without a token go.
            whole = torch.cat([out[f"kv_indices_{name}"], cells[:1]])
            self.lists[name] = whole
            out[f"kv_indices_{name}"] = whole[:-1]
        rings = [ring for ring in v4.rings if ring is not None]
        self.ring, self.slot_rows = rings[0].size, rings[0].slot_rows

    def matrix(self, positions: torch.Tensor) -> torch.Tensor:
        """int32[token, window] from positions, by torch ops."""
        pos = positions.to(torch.int32)[:, None]
        first = (pos - (self.v4.window - 1)).clamp(min=0)
        at = first + self.lane
        return torch.where(at <= pos, at % self.ring, -1)

    def translate(
        self, cells: torch.Tensor, slot: torch.Tensor, ends: dict[str, torch.Tensor]
    ) -> None:
        """``cells`` of every token into each list, right before its end."""
        valid = cells >= 0
        cell = cells.clamp(min=0).view(-1)
        base = (slot * self.slot_rows)[:, None]
        back = valid.sum(1)[:, None] - self.lane
        for name, flat in self.lists.items():
            rows = self.rows[name].index_select(0, cell).view_as(cells) + base
            at = torch.where(valid, ends[name][:, None] - back, len(flat) - 1)
            flat.index_put_((at,), rows)


class OnHost:
    """Everything that both designs share: pinned twins of the buffers, and a wait before they are written again."""

    def __init__(self, judge: Judge) -> None:
        work = judge.workload
        self.where, self.v4 = judge.device, work.numbers["v4"]
        self.inputs = work.inputs
        self.out: dict[str, torch.Tensor] = judge.buffers()
        self.windows = Windows(self.v4, self.out, self.where)
        pin = self.where != "cpu"
        size = (work.capacity.tokens, self.v4.window)
        self.matrix = torch.zeros(size, dtype=torch.int32, device=self.where)
        self.to = {**self.out, "window_topk": self.matrix}
        self.host = {
            name: torch.empty(value.shape, dtype=value.dtype, pin_memory=pin)
            for name, value in self.to.items()
        }
        self.views = {name: value.numpy() for name, value in self.host.items()}
        self.sent = device.Event(self.where)

    def copy(self, arrays: Arrays) -> None:
        """One transfer a field, on the current stream."""
        for name, array in arrays.items():
            rows = len(array)
            self.views[name][:rows] = array
            self.send(name, rows)

    def send(self, name: str, rows: int) -> None:
        self.to[name][:rows].copy_(self.host[name][:rows], non_blocking=True)

    def hca(self, fill: Any, at: v4_host.Tokens, table: np.ndarray, ptr: np.ndarray) -> None:
        """The heads of the HCA lists, written into pinned memory; one transfer."""
        flat = self.views["kv_indices_hca"]
        fill(at, table, ptr, flat)
        self.send("kv_indices_hca", int(ptr[at.tokens]))

    def translate(self, at: v4_host.Tokens) -> None:
        count = at.tokens
        owner = self.out["batch_id_per_token"][:count]
        slot = self.out["state_slot_out"].index_select(0, owner)
        ends = {name: self.out[f"kv_indptr_{name}"][1 : count + 1] for name in self.windows.lists}
        self.windows.translate(self.matrix[:count], slot, ends)


class Before(OnHost):
    """As it was before the change."""

    name = "torch ops, loop"

    def __call__(self) -> None:
        self.sent.synchronize()
        at = v4_host.Tokens(self.inputs, self.v4)
        first = v4_host.first_five(at)
        self.copy(first)
        self.copy(v4_host.compress_plans(at))
        more = v4_host.per_token(at, first["block_tables"])
        self.copy(more)
        self.hca(v4_host.hca_loop, at, first["block_tables"], more["kv_indptr_hca"])
        self.sent.record()
        self.matrix[: at.tokens] = self.windows.matrix(self.out["positions"][: at.tokens])
        self.translate(at)


class After(OnHost):
    """As PR 728 made it."""

    name = "numpy, preparation stream"

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self.stream = device.stream(self.where)
        self.prepared, self.free = device.Event(self.where), device.Event(self.where)

    def __call__(self) -> None:
        self.sent.synchronize()
        at = v4_host.Tokens(self.inputs, self.v4)
        first = v4_host.first_five(at)
        self.free.record()  # the step before has read what is overwritten now
        with device.on(self.stream):
            self.free.hold()
            self.copy(first)
            self.prepared.record()
        self.copy(v4_host.compress_plans(at))
        self.prepared.hold()
        more = v4_host.per_token(at, first["block_tables"])
        self.copy(more)
        self.copy({"window_topk": v4_host.window_topk(at)})
        self.hca(v4_host.hca_vectorised, at, first["block_tables"], more["kv_indptr_hca"])
        self.sent.record()
        self.translate(at)
