# pyright: basic
"""vLLM's runner for one step: its buffers, its kernels in its order, and a builder behind them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.plans.engine_step import Interleave
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Tensors

CP, NOT_PARALLEL = Interleave(size=4, rank=1, run=4), Interleave()
PAGE, PARTS = 16, 4
BATCH, TABLES = "v1/worker/gpu/input_batch.py", "v1/worker/gpu/block_table.py"
CONTEXT, SHARED = "v1/worker/gpu/cp_utils.py", "v1/worker/gpu/attn_utils.py"
GROUPS = "v1/worker/utils.py"


class Runner:
    """The engine's buffers, its kernels in the order of its step, and one builder behind them."""

    def __init__(
        self,
        batch: Batch,
        given: Tensors,
        before: Mapping[str, torch.Tensor],
        device: str,
        builder: Any,
        interleave: Interleave = NOT_PARALLEL,
    ) -> None:
        self.batch, self.given, self.interleave = batch, given, interleave
        self.n, self.padded = batch.live["req"], batch.live["padded"]
        self.starts = np.asarray(batch.inputs["query_start_loc"])
        self.tokens = batch.extra["padded_tokens"]
        self.out = {name: x.clone() for name, x in before.items()}
        self.tables = self._tables(device)
        kernel_table = before.get("kernel_block_table")
        self.group = (
            vllm()
            .module(GROUPS)
            .AttentionGroup(
                None, ["layer"], SimpleNamespace(block_size=PAGE), 0, metadata_builders=[builder]
            )
        )
        if kernel_table is not None:
            self.group.kernel_block_size = PAGE // PARTS
            self.group.kernel_block_table = self.out["kernel_block_table"][None]
            self.group.kernel_block_offsets = torch.arange(PARTS, dtype=torch.int32, device=device)
        self.spans = None
        if "mm_spans" in batch.inputs:
            rows = batch.inputs["idx_mapping"]
            counts = batch.inputs["num_mm_spans"][rows]
            self.spans = {
                r: [tuple(map(int, span)) for span in batch.inputs["mm_spans"][row, :count]]
                for r, (row, count) in enumerate(zip(rows, counts, strict=True))
            }
        self.metadata: Any = None

    def _tables(self, device: str) -> Any:
        made = object.__new__(vllm().module(TABLES).BlockTables)
        counts = torch.zeros(1, len(self.given["num_blocks"]), dtype=torch.int32, device=device)
        counts[0] = self.given["num_blocks"]
        made.__dict__.update(
            num_kv_cache_groups=1,
            device=torch.device(device),
            block_sizes=[PAGE],
            block_tables=[SimpleNamespace(gpu=self.given["block_table"])],
            input_block_tables=[self.out["input_block_table"]],
            slot_mappings=self.out["slot_mapping"][None],
            num_blocks=SimpleNamespace(gpu=counts),
            cp_size=self.interleave.size,
            cp_rank=self.interleave.rank,
            cp_interleave=self.interleave.run,
            dcp_sharded=torch.ones(1, dtype=torch.bool, device=device),
            has_sliding_window_groups=False,
            _slot_mapping_enabled=[True],
            _sliding_window_reach=[0],
            _num_dirty_rows=0,
        )
        made.init_block_table_layout_tensors()
        return made

    def __call__(self) -> None:
        given, out, n, padded = self.given, self.out, self.n, self.padded
        fences, rows = given["query_start_loc"], given["idx_mapping"][:n]
        vllm().module(BATCH).prepare_pos_seq_lens(
            rows, fences, given["num_computed_tokens"], out["positions"], out["seq_lens"]
        )
        tables = self.tables.gather_block_tables(rows, padded)
        slots = self.tables.compute_slot_mappings(
            rows, fences[: n + 1], out["positions"], self.tokens
        )
        more: dict[str, Any] = {}
        size, rank, run = self.interleave.size, self.interleave.rank, self.interleave.run
        if size > 1:
            more["dcp_local_seq_lens"] = (
                vllm()
                .module(CONTEXT)
                .prepare_dcp_local_seq_lens(
                    out["dcp_local_seq_lens"],
                    out["seq_lens"],
                    n,
                    size,
                    rank,
                    run,
                    num_reqs_padded=padded,
                )
            )
        if self.spans is not None:
            more["mm_req_doc_ranges"] = self.spans
            if padded == n:  # with padding rows the builders refuse to copy the real ones' lengths
                more["rswa_prefix_lens"] = given["prompt_len"][rows]
        bound = np.zeros(padded, np.int32)
        bound[:n] = self.batch.extra["seq_lens"]
        made = (
            vllm()
            .module(SHARED)
            .build_attn_metadata(
                attn_groups=[[self.group]],
                num_reqs=padded,
                num_tokens=self.tokens,
                query_start_loc_gpu=fences[: padded + 1],
                query_start_loc_cpu=torch.from_numpy(self.starts[: padded + 1]),
                max_query_len=int(np.diff(self.starts).max()),
                seq_lens=out["seq_lens"],
                max_seq_len=int(bound.max()),
                block_tables=tables,
                slot_mappings=slots,
                kv_cache_config=SimpleNamespace(kv_cache_groups=[None]),
                seq_lens_cpu_upper_bound=torch.from_numpy(bound),
                positions=out["positions"],
                **more,
            )
        )
        self.metadata = made["layer"]
