# pyright: basic
"""One step of vLLM 0.33's default runner, by the engine's own functions in the engine's own order.

Names of inputs and outputs are those of ``metaplan.plans.engine_step``. The engine reads row -1 of its tables for a dummy
request (``idx_mapping`` of -1), that is, whatever lies in front of them. Here every table lies inside a larger
allocation whose row -1 exists, so that this behaviour is defined:

- 0 tokens computed, 0 blocks: positions count from 0, the block-table row keeps what it held;
- ``prefill_len`` 0 for the prompt copy and 2**31 - 1 for the sampled tokens, so that neither writes ``input_ids``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import torch
import triton

from metaplan.checking.masks import boolean_masks
from tests.peers.vllm_kernels import Kernels, to_device

NEVER = 2**31 - 1


class Group(Protocol):
    """A KV-cache group: tokens per page, and how far below the first scheduled position it still reads (0: all)."""

    page: int
    reach: int


class EngineStep:
    """The engine's buffers and calls for one step; ``stage`` copies the host inputs, ``launch`` is kernels and fills only."""

    def __init__(
        self,
        vllm: Kernels,
        groups: Sequence[Group],
        tables: Mapping[str, torch.Tensor],
        before: Mapping[str, torch.Tensor],
        drafts: int = 0,
        cp_size: int = 1,
        cp_rank: int = 0,
        cp_interleave: int = 1,
    ) -> None:
        """``tables``: the device inputs ``[state, ...]``; ``before``: what the outputs held, copied before use."""
        self.vllm, self.drafts = vllm, drafts
        self.cp = (cp_size, cp_rank, cp_interleave)
        self.out = {name: value.clone() for name, value in before.items()}
        device = tables["num_computed_tokens"].device
        capacity = self.out["positions"].shape[0]
        requests = self.out["seq_lens"].shape[0]
        state = tables["num_computed_tokens"].shape[0]
        self.computed = guarded(tables["num_computed_tokens"])
        self.prefill_for_prompt = guarded(tables["prefill_len"])
        self.prefill_for_sampled = guarded(tables["prefill_len"], NEVER)
        self.all_token_ids = guarded(tables["all_token_ids"])
        self.last_sampled = guarded(tables["last_sampled_tokens"])
        no_drafts = torch.zeros(state, 0, dtype=torch.int64, device=device)
        self.draft_tokens = guarded(tables.get("draft_tokens", no_drafts))
        self.next_prefill = torch.zeros(
            max(1, drafts), state, dtype=torch.int32, device=device
        )  # of the next step, not compared
        self.blocks = self._block_tables(groups, tables, device, max(state, requests), capacity)
        self.cu_num_logits = torch.zeros(requests + 1, dtype=torch.int32, device=device)
        self.idx_mapping = torch.zeros(requests, dtype=torch.int64, device=device)
        self.live: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
        self.logits: tuple[torch.Tensor, ...] = ()

    def _block_tables(self, groups, tables, device, rows, capacity) -> Any:
        cp_size, cp_rank, cp_interleave = self.cp
        own = [tables[f"block_table_{g}"] for g in range(len(groups))]
        blocks = self.vllm.block_table.BlockTables(
            [group.page for group in groups],
            1,  # rows of the engine's own allocation: ours are put in its place below
            1,
            [1] * len(groups),
            device,
            cp_size,
            cp_rank,
            cp_interleave,
            sliding_window_reach=[group.reach for group in groups],
        )
        blocks.max_num_reqs, blocks.max_num_batched_tokens = rows, capacity
        blocks.block_tables = [SimpleNamespace(gpu=guarded(table)) for table in own]
        blocks.input_block_tables = [self.out[f"input_block_table_{g}"] for g in range(len(own))]
        counts = torch.zeros(len(own), own[0].shape[0] + 1, dtype=torch.int32, device=device)
        for g in range(len(own)):
            counts[g, 1:] = tables[f"num_blocks_{g}"]
        blocks.num_blocks = SimpleNamespace(gpu=counts[:, 1:])  # the count of row -1 is column 0
        blocks.slot_mappings = torch.stack([self.out[f"slot_mapping_{g}"] for g in range(len(own))])
        for g in range(len(own)):
            self.out[f"slot_mapping_{g}"] = blocks.slot_mappings[g]
        blocks.init_block_table_layout_tensors()
        return blocks

    def stage(self, inputs: Mapping[str, Any]) -> None:
        """Counts and offsets on the host, then one copy to the device for each, as the engine's ``prepare_inputs`` does."""
        idx_mapping = np.asarray(inputs["idx_mapping"], np.int64)
        live = int(inputs.get("req", len(idx_mapping)))
        scheduled = np.asarray(inputs["num_scheduled"], np.int32)[:live]
        drafts = np.asarray(inputs["num_draft"], np.int32)[:live]
        starts = np.zeros(self.out["query_start_loc"].shape[0], np.int32)
        starts[1 : live + 1] = np.cumsum(scheduled)
        starts[live + 1 :] = starts[live]
        logits = np.zeros_like(starts)
        logits[1 : live + 1] = np.cumsum(drafts + 1)
        logits[live + 1 :] = logits[live]
        to_device(idx_mapping[:live], out=self.idx_mapping[:live])
        to_device(starts, out=self.out["query_start_loc"])
        to_device(logits, out=self.cu_num_logits)
        self.live = (
            live,
            int(starts[live]),
            int(logits[live]),
            int(inputs["padded_reqs"]),
            int(inputs["padded_tokens"]),
        )
        self.any_draft = bool(drafts.any())

    def launch(self, has_prefill: bool = True) -> None:
        """The engine's fills and kernels; with ``has_prefill`` false the prompt copy is left out, as the engine does."""
        live, tokens, logits, padded_reqs, padded_tokens = self.live
        batch, out = self.vllm.input_batch, self.out
        out["is_padding"][:tokens].fill_(False)
        out["is_padding"][tokens:padded_tokens].fill_(True)
        idx_mapping = self.idx_mapping[:live]
        cu_num_logits = self.cu_num_logits[: live + 1]
        if self.any_draft:
            expanded = batch.expand_idx_mapping(idx_mapping, logits, cu_num_logits, self.drafts + 1)
        else:
            expanded = (idx_mapping, torch.zeros_like(idx_mapping, dtype=torch.int32))
        starts = out["query_start_loc"][: max(padded_reqs, live) + 1]
        if has_prefill:
            batch.prepare_prefill_inputs(
                out["input_ids"],
                self.next_prefill,
                idx_mapping,
                starts,
                self.all_token_ids,
                self.prefill_for_prompt,
                self.computed,
            )
        batch.prepare_pos_seq_lens(
            idx_mapping, starts, self.computed, out["positions"], out["seq_lens"]
        )
        logits_indices = batch.combine_sampled_and_draft_tokens(
            out["input_ids"],
            idx_mapping,
            self.last_sampled,
            starts,
            out["seq_lens"],
            self.prefill_for_sampled,
            self.draft_tokens,
            cu_num_logits,
            logits,
        )
        self.logits = (logits_indices, *expanded)
        size, rank, interleave = self.cp
        if size > 1:
            self.vllm.cp_utils.prepare_dcp_local_seq_lens(
                out["dcp_local_seq_lens"], out["seq_lens"], live, size, rank, interleave
            )
        self.blocks._num_dirty_rows = 0  # rows of an earlier, larger step are not this step's
        self.blocks.gather_block_tables(idx_mapping, padded_reqs, num_computed_tokens=self.computed)
        with boolean_masks() if size > 1 and interpreting() else contextlib.nullcontext():
            self.blocks.compute_slot_mappings(
                idx_mapping, starts[: live + 1], out["positions"], padded_tokens
            )

    def outputs(self) -> dict[str, torch.Tensor]:
        """All outputs under the plan's names; what the engine allocates anew is laid into the buffers of ``before``."""
        out = dict(self.out)
        out["cu_num_logits"] = self.cu_num_logits.clone()
        names = ("logits_indices", "expanded_idx_mapping", "expanded_local_pos")
        for name, value in zip(names, self.logits, strict=True):
            out[name][: value.shape[0]] = value
        return out


def interpreting() -> bool:
    """Whether triton runs kernels on the CPU, in its interpreter."""
    return bool(triton.knobs.runtime.interpret)


def guarded(table: torch.Tensor, row_before: int = 0) -> torch.Tensor:
    """A copy of ``table`` whose row -1 exists and is filled with ``row_before``; its base stays aligned to 256 bytes."""
    row = max(1, math.prod(table.shape[1:]))
    lead = -(-row // 256) * 256
    flat = torch.full(
        (lead + table.numel() + 1,), row_before, dtype=table.dtype, device=table.device
    )
    view = torch.as_strided(flat, table.shape, table.stride(), lead)
    view.copy_(table)
    return view


def engine_step(
    vllm: Kernels,
    inputs: Mapping[str, Any],
    before: Mapping[str, torch.Tensor],
    groups: Sequence[Group],
    drafts: int = 0,
    cp_size: int = 1,
    cp_rank: int = 0,
    cp_interleave: int = 1,
) -> dict[str, torch.Tensor]:
    """What the engine makes of ``inputs`` in buffers that held ``before``; neither is changed."""
    step = EngineStep(vllm, groups, inputs, before, drafts, cp_size, cp_rank, cp_interleave)
    step.stage(inputs)
    step.launch()
    return step.outputs()


def post_update(vllm: Kernels, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state tables after sampling, by the engine's own kernel; ``inputs`` keep their values."""
    names = ("num_computed_tokens", "last_sampled_tokens", "total_len", "all_token_ids")
    state = {name: inputs[name].clone() for name in names}
    live = int(inputs.get("req", inputs["idx_mapping"].shape[0]))
    drafts: dict[str, torch.Tensor] = {}
    if "draft_tokens" in inputs:
        state["draft_tokens"] = inputs["draft_tokens"].clone()
        drafts = {
            "draft_tokens": inputs["new_draft_tokens"][:live],
            "draft_tokens_out": state["draft_tokens"],
        }
    vllm.input_batch.post_update(
        inputs["idx_mapping"][:live],
        state["num_computed_tokens"],
        state["last_sampled_tokens"],
        None,  # no penalties: nothing is counted
        inputs["sampled_tokens"][:live],
        inputs["num_sampled"][:live],
        inputs["num_rejected"][:live],
        inputs["query_start_loc"][: live + 1],
        state["all_token_ids"],
        state["total_len"],
        **drafts,
    )
    return state
