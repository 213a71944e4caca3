# pyright: basic
"""A loop of one's own with our kernel in front of the model's graph: what an engine changes first.

The host keeps what it kept before, but sends two numbers a row and the pages that rows were given; a plan makes the
model's inputs of them on the GPU, in one launch. The tokens of a step are read one step late.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch

import metaplan as mp
from bench.loops import device
from bench.loops.requests import Requests
from bench.loops.sides import Side, Work
from metaplan import i32, i64

Outputs = dict[str, Any]


def decode_inputs(page: int, pages: int, longest: int, vocabulary: int) -> mp.Plan:
    """The model's inputs for one token a row; ``given`` is -1 where the step before sampled the token."""

    @mp.plan
    def decode_inputs(
        lengths: Annotated[i32, "row", mp.HOST, mp.between(0, longest - 1)],
        given: Annotated[i32, "row", mp.HOST, mp.between(-1, vocabulary - 1)],
        sampled: Annotated[i64, "row", mp.below(vocabulary)],
        block_table: Annotated[i32, "row", "page", mp.below(pages)],
    ) -> Outputs:
        row = mp.axis("row")
        slot = block_table[row, lengths // page] * page + lengths % page
        return dict(
            input_ids=mp.where(given >= 0, i64(given), sampled[row]),
            positions=i64(lengths),
            slot_mapping=i64(slot),
            seq_lens=lengths + 1,
        )

    return decode_inputs


def new_pages(rows: int, pages: int, width: int) -> mp.Plan:
    """Cells of the block table that the scheduler filled: a stretch of a row a patch."""

    @mp.plan
    def new_pages(
        grown: Annotated[i32, "patch", mp.HOST, mp.below(rows), mp.DISTINCT],
        starts: Annotated[i32, "patch", mp.HOST, mp.between(0, width)],
        counts: Annotated[i32, "patch", mp.HOST, mp.between(0, width)],
        contents: Annotated[i32, "cell", mp.HOST, mp.below(pages)],
        block_table: Annotated[i32, "row", "page", mp.below(pages), mp.STATE],
    ) -> Outputs:
        mp.axis("patch")
        cells = mp.patch(block_table, rows=grown, starts=starts, lengths=counts, contents=contents)
        return dict(block_table=cells)

    return new_pages


class Outside(Side):
    """One stream, two launches beside the model's graph at most, one wait for the step before."""

    name = "ours, outside the graph"

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        traffic, model, rows = work.traffic, work.model, work.rows
        self.requests = Requests(traffic, work.page, work.pages)
        width = self.requests.table.shape[1]
        where, vocabulary = work.device, model.shape.vocabulary
        self.table = torch.zeros(rows, width, dtype=torch.int32, device=where)
        self.sampled = torch.zeros(rows, dtype=torch.int64, device=where)
        plan = decode_inputs(work.page, work.pages, traffic.longest, vocabulary)
        self.inputs = plan.compile(row=rows, page=width, device=where)
        self.inputs.bind(sampled=self.sampled, block_table=self.table)
        self.growth = new_pages(rows, work.pages, width).compile(
            patch=rows, cell=rows * width, row=rows, page=width, device=where
        )
        self.growth.bind(block_table=self.table)
        self.given = np.zeros(rows, np.int32)
        pinned = where != "cpu"
        self.results = [torch.zeros(rows, dtype=torch.int64, pin_memory=pinned) for _ in range(2)]
        self.returned = [device.Event(where) for _ in range(2)]
        self.keys: list[list[int | None]] = [[], []]
        self.turn, self.pending = 0, False
        self.replay = device.graph(self.forward, where)

    def forward(self) -> None:
        made = self.inputs
        names = ("input_ids", "positions", "slot_mapping", "seq_lens")
        given = (getattr(made, name) for name in names)
        self.work.model(*given, self.table, out=self.sampled)

    def start(self) -> None:
        self.requests = Requests(self.work.traffic, self.work.page, self.work.pages)
        self.turn, self.pending = 0, False

    def step(self) -> None:
        self.host_work()
        requests, turn = self.requests, self.turn
        begun = requests.schedule()
        if requests.grown:
            self.grow()
        for row, prompt in begun:
            self.prefill(prompt, requests.pages(row))
        self.given[:] = -1
        for row in requests.fresh:
            self.given[row] = requests.last[row]
        self.inputs(lengths=requests.lengths, given=self.given, row=self.work.rows)
        self.replay()
        self.results[turn].copy_(self.sampled, non_blocking=True)
        self.returned[turn].record()
        self.keys[turn] = requests.advance()
        if self.pending:
            self.take(1 - turn)
        self.turn, self.pending = 1 - turn, True

    def grow(self) -> None:
        grown, starts, ends = np.array(self.requests.grown, np.int32).T
        table = self.requests.table
        cells = [table[row, a:b] for row, a, b in self.requests.grown]
        self.growth(
            grown=np.ascontiguousarray(grown),
            starts=np.ascontiguousarray(starts),
            counts=ends - starts,
            contents=np.concatenate(cells),
            patch=len(grown),
        )

    def take(self, turn: int) -> None:
        self.returned[turn].synchronize()
        self.requests.commit(self.results[turn].tolist(), self.keys[turn])

    def stop(self) -> None:
        if self.pending:
            self.take(1 - self.turn)
        self.pending = False

    @property
    def tokens(self) -> dict[int, list[int]]:
        return self.requests.tokens

    def close(self) -> None:
        self.inputs.close()
        self.growth.close()
