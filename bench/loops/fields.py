# pyright: basic
"""The metadata of a step as one block of int32 with a view for each field: what one copy carries."""

from __future__ import annotations

import numpy as np
import torch

from bench.loops.requests import Requests


class Fields:
    """``input_ids, positions, slot_mapping, seq_lens, carry`` of every row, then its block table."""

    def __init__(self, rows: int, width: int, device: str, pinned: bool = False) -> None:
        names = ("input_ids", "positions", "slot_mapping", "seq_lens", "carry")
        kind = {"dtype": torch.int32, "device": device}
        self.block = torch.zeros((len(names) + width) * rows, **kind, pin_memory=pinned)
        parts = self.block[: len(names) * rows].view(len(names), rows)
        self.input_ids, self.positions, self.slot_mapping, self.seq_lens, self.carry = parts
        self.block_table = self.block[len(names) * rows :].view(rows, width)
        self.sampled = torch.zeros(rows, **kind, pin_memory=pinned)

    def model_inputs(self) -> tuple[torch.Tensor, ...]:
        """In the order in which the model takes them."""
        return (
            self.input_ids,
            self.positions,
            self.slot_mapping,
            self.seq_lens,
            self.block_table,
        )

    def fill(self, requests: Requests) -> None:
        """From what the host knows, in NumPy, in place."""
        lengths, page = requests.lengths, requests.page
        self.input_ids.numpy()[:] = requests.last
        self.positions.numpy()[:] = lengths
        self.seq_lens.numpy()[:] = lengths + 1
        table = self.block_table.numpy()
        table[:] = requests.table
        at = requests.table[np.arange(len(lengths)), lengths // page]
        self.slot_mapping.numpy()[:] = at * page + lengths % page


def lists(requests: Requests) -> dict[str, list]:
    """The same in plain Python, a list a field: how a loop is written before it is made fast."""
    page, lengths = requests.page, requests.lengths.tolist()
    table = requests.table.tolist()
    return {
        "input_ids": list(requests.last),
        "positions": lengths,
        "slot_mapping": [
            table[row][length // page] * page + length % page for row, length in enumerate(lengths)
        ],
        "seq_lens": [length + 1 for length in lengths],
        "block_table": table,
    }
