# pyright: basic
"""Linear attention's states at decode: the engine's builders, and its kernel for all groups at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from metaplan.plans.vllm_mamba import vllm_aligned_states, vllm_gdn
from tests.peers.as_cuda import as_cuda
from tests.peers.batches import table
from tests.peers.engines import vllm
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs
from tests.peers.vllm_batch import Rows, build_all, ragged, served, uniform

REQ, DRAFTS, BLOCK, MODEL_LEN, SERVED = 6, 3, 64, 512, 32768
GDN = "v1/attention/backends/gdn_attn.py"
KDA = "models/kimi_k3/nvidia/kda_metadata.py"
UTILS = "v1/attention/backends/utils.py"
MAMBA = "v1/worker/mamba_utils.py"


def columns(model_len: int, block: int, drafts: int) -> int:
    return -(-model_len // block) + drafts


def aligned_context(tables: list[torch.Tensor], capacity: int, drafts: int, block: int) -> Any:
    """What the engine keeps for its kernel over all groups: their tables' addresses, and the result."""
    cls = vllm().module(MAMBA).MambaSpecDecodeGPUContext
    own = object.__new__(cls)
    first, groups = tables[0], len(tables)
    own.__dict__.update(
        is_initialized=True,
        num_groups=groups,
        block_size=block,
        block_table_stride_req=first.stride(0),
        aligned_index_block_table_ptrs=torch.tensor(
            [t.data_ptr() for t in tables], dtype=torch.int64, device=first.device
        ),
        aligned_state_indices=torch.zeros(
            groups, capacity, drafts + 1, dtype=torch.int32, device=first.device
        ),
    )
    return own


# ------------------------------------------------------------ the states of all groups


def states(rng: np.random.Generator, rows: Rows, groups: int, **of: Any) -> Batch:
    width = columns(of["model_len"], of["block"], of["drafts"])
    inputs: dict[str, Any] = dict(seq_lens=rows.seq_lens)
    for g in range(groups):
        inputs[f"block_table_{g}"] = table(rng, rows.count, width)
    return Batch(inputs, {"req": rows.count}, rows.label, dict(rows=rows, groups=groups, **of))


def states_theirs(
    batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
) -> Theirs:
    of, n = batch.extra, batch.extra["rows"].count
    tables = [given[f"block_table_{g}"] for g in range(of["groups"])]
    context = aligned_context(tables, n, of["drafts"], of["block"])

    def call() -> None:
        with as_cuda(device):
            context.compute_aligned_state_indices(given["seq_lens"], n)

    def read() -> Mapping[str, Any]:
        return {f"state_indices_{g}": x for g, x in enumerate(context.aligned_state_indices)}

    return Theirs(call, read)


def states_setup(requests: int, groups: int, drafts: int, block: int, model_len: int) -> Setup:
    of: Any = dict(groups=groups, drafts=drafts, block=block, max_model_len=model_len)
    sizes = {"req": requests, "block": columns(model_len, block, drafts)}
    return Setup(lambda: vllm_aligned_states(**of), sizes)


def states_batches(rng: np.random.Generator) -> Iterator[Batch]:
    of = dict(drafts=DRAFTS, block=BLOCK, model_len=MODEL_LEN)
    for rows in ragged(rng, REQ, DRAFTS + 1, MODEL_LEN):
        yield states(rng, rows, 3, **of)


def states_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    of = dict(drafts=query - 1, block=1024, model_len=SERVED)
    batch = states(np.random.default_rng(0), served(requests, query), 3, **of)
    return states_setup(requests, 3, query - 1, 1024, SERVED), batch


# ------------------------------------------------------------ decodes, as a graph reads them


def decodes(rng: np.random.Generator, rows: Rows, padded: int, **of: Any) -> Batch:
    """``rows`` are live; up to ``padded`` there are requests without tokens and without states."""
    n, drafts = rows.count, of["drafts"]
    inputs: dict[str, Any] = dict(query_start_loc=rows.starts, padded_reqs=padded)
    width = drafts + 1
    if of["block"]:
        width = columns(of["model_len"], of["block"], drafts)
        inputs["seq_lens"] = rows.seq_lens
    if drafts:
        inputs["num_accepted"] = rng.integers(1, drafts + 2, n).astype(np.int32)
    for g in range(of["groups"]):
        inputs[f"block_table_{g}"] = table(rng, n, width)
    return Batch(inputs, {"req": n}, rows.label, dict(rows=rows, padded=padded, **of))


def with_padding(x: torch.Tensor, rows: int, fill: int = 0) -> torch.Tensor:
    """``x`` with rows of ``fill`` behind it."""
    more = x.new_full((rows - len(x), *x.shape[1:]), fill)
    return torch.cat([x, more])


def gdn_builder(
    path: str, name: str, made: Mapping[str, torch.Tensor], g: int, drafts: int, device: str
) -> Any:
    """The engine's builder whose persistent buffers are ``made``."""
    kind = "spec" if drafts else "non_spec"
    capacity = len(made[f"{kind}_state_indices_{g}"])
    cells = len(made["spec_token_indx"]) if drafts else capacity

    def buffer(key: str, *shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        if key in made:
            return made[key].view(shape)
        return torch.zeros(shape, dtype=dtype, device=device)

    builder = object.__new__(getattr(vllm().module(path), name))
    builder.__dict__.update(
        num_spec=drafts,
        use_spec_decode=drafts > 0,
        use_full_cuda_graph=True,
        use_recoverssm=False,
        use_flashinfer_prefill=False,
        spec_state_slots=drafts + 1,
        decode_cudagraph_max_bs=capacity * (drafts + 1),
        gdn_prefill_backend="triton",
        plan_flashinfer_checkpoints=False,
        checkpoint_builder=SimpleNamespace(build=lambda *_: None),
        supports_update_block_table=False,
        mamba_aligned_state_indices=None,
        spec_state_indices_tensor=buffer(f"spec_state_indices_{g}", capacity, drafts + 1),
        non_spec_state_indices_tensor=buffer(f"non_spec_state_indices_{g}", capacity),
        spec_sequence_masks=buffer("spec_sequence_masks", capacity, dtype=torch.bool),
        spec_token_indx=buffer("spec_token_indx", cells),
        non_spec_token_indx=torch.zeros(cells, dtype=torch.int32, device=device),
        spec_query_start_loc=buffer("spec_query_start_loc", capacity + 1),
        non_spec_query_start_loc=buffer("non_spec_query_start_loc", capacity + 1),
        num_accepted_tokens=buffer("num_accepted_tokens", capacity),
    )
    return builder


def mamba_spec(block: int, drafts: int) -> Any:
    """What stands for the engine's spec of such a group."""
    spec = object.__new__(vllm().find("vllm.v1.kv_cache_interface").MambaSpec)
    spec.__dict__.update(block_size=block, num_speculative_blocks=drafts, mamba_cache_mode="align")
    return spec


def decodes_theirs(path: str, name: str) -> Any:
    def theirs(
        batch: Batch, given: Tensors, before: Mapping[str, torch.Tensor], device: str
    ) -> Theirs:
        of, made = batch.extra, {n: b.clone() for n, b in before.items()}
        rows, padded, drafts, block = of["rows"], of["padded"], of["drafts"], of["block"]
        live, groups = rows.count, of["groups"]
        whole = Rows(
            np.pad(rows.seq_lens, (0, padded - live)), np.pad(rows.query_lens, (0, padded - live))
        )
        starts = given["query_start_loc"]
        step = dict(
            query_start_loc=torch.cat([starts, starts[-1:].expand(padded - live)]),
            seq_lens=torch.from_numpy(whole.seq_lens).to(device),
        )
        tables = [with_padding(given[f"block_table_{g}"], padded) for g in range(groups)]
        spec = mamba_spec(block, drafts)
        mode = SimpleNamespace(mamba_cache_mode="align" if block else "none")
        builders = [gdn_builder(path, name, made, g, drafts, device) for g in range(groups)]
        for builder in builders:
            builder.__dict__.update(
                kv_cache_spec=spec,
                vllm_config=SimpleNamespace(cache_config=mode, use_v2_model_runner=False),
                supports_update_block_table=groups > 1,
            )
        context = aligned_context(tables, padded, drafts, block) if groups > 1 else None
        extra: dict[str, Any] = {}
        if drafts:
            drafted = np.where(whole.query_lens > 0, whole.query_lens - 1, -1).astype(np.int32)
            extra = dict(
                num_accepted_tokens=with_padding(given["num_accepted"], padded, 1),
                num_decode_draft_tokens_cpu=torch.from_numpy(drafted),
            )
        slots = torch.zeros(rows.tokens, dtype=torch.int64, device=device)

        def call() -> None:
            with as_cuda(device):
                if context is not None:
                    every = context.compute_aligned_state_indices(step["seq_lens"], padded)
                    for builder, own in zip(builders, every, strict=True):
                        builder.mamba_aligned_state_indices = own
                build_all(
                    whole,
                    builders,
                    step,
                    block_tables=tables,
                    slot_mappings=[slots] * groups,
                    extra=extra,
                )

        # GDN sends its mask of drafts from the host.
        return Theirs(call, lambda: kept(made, name), captured=not drafts or "KDA" in name)

    return theirs


def kept(made: Mapping[str, torch.Tensor], name: str) -> Mapping[str, Any]:
    """What a builder produces: KDA's layers take their tokens as they lie."""
    left_out = ("spec_sequence_masks", "spec_token_indx") if "KDA" in name else ()
    return {n: x for n, x in made.items() if n not in left_out}


def decodes_peer(
    title: str,
    groups: int,
    drafts: int,
    block: int,
    path: str = GDN,
    name: str = "GDNAttentionMetadataBuilder",
    replaces: tuple[str, ...] = (),
) -> Peer:
    def setup(requests: int, asked: int, every: int, model_len: int) -> Setup:
        of: Any = dict(groups=groups, drafts=asked, block=every, max_model_len=model_len)
        sizes = {"req": requests, "tok": requests * (asked + 1)}
        sizes |= {"block": columns(model_len, every, asked)} if block else {}
        return Setup(lambda: vllm_gdn(**of), sizes)

    def batches(rng: np.random.Generator) -> Iterator[Batch]:
        kind = ragged if drafts else uniform
        of = dict(groups=groups, drafts=drafts, block=block, model_len=MODEL_LEN)
        for rows in kind(rng, REQ - 2, drafts + 1, MODEL_LEN):
            if rows.query_lens.min() == 0:
                continue  # padding follows here
            yield decodes(rng, rows, int(rng.integers(rows.count, REQ + 1)), **of)

    def bench(requests: int, query: int) -> tuple[Setup, Batch]:
        asked, every = (max(query - 1, 1), 1024) if drafts else (0, 0)
        every = every if block else 0
        of = dict(groups=groups, drafts=asked, block=every, model_len=SERVED)
        rows = served(requests, min(query, asked + 1))
        return setup(requests, asked, every, SERVED), decodes(
            np.random.default_rng(0), rows, requests, **of
        )

    return Peer(
        name=title,
        engine="vllm",
        plan="vllm_gdn",
        replaces=(f"{path}:{name}.build", *replaces),
        setup=setup(REQ, drafts, block, MODEL_LEN),
        batches=batches,
        theirs=decodes_theirs(path, name),
        bench=bench,
    )


STAGED = (f"{GDN}:GDNAttentionMetadataBuilder.update_block_table",)
PEERS = (
    Peer(
        name="vLLM aligned states of several groups",
        engine="vllm",
        plan="vllm_aligned_states",
        replaces=(f"{MAMBA}:get_aligned_state_indices_multi_group_kernel",),
        setup=states_setup(REQ, 3, DRAFTS, BLOCK, MODEL_LEN),
        batches=states_batches,
        theirs=states_theirs,
        bench=states_bench,
    ),
    decodes_peer("vLLM GDN decodes", 1, 0, 0),
    decodes_peer("vLLM GDN drafts", 1, DRAFTS, 0),
    decodes_peer(
        "vLLM GDN drafts, aligned", 1, DRAFTS, BLOCK,
        replaces=(f"{UTILS}:_mamba_align_block_table_kernel",),
    ),
    decodes_peer(
        "vLLM GDN drafts of several groups, aligned", 3, DRAFTS, BLOCK,
        replaces=(*STAGED, f"{MAMBA}:get_aligned_state_indices_multi_group_kernel"),
    ),
    decodes_peer(
        "vLLM KDA drafts, aligned", 1, DRAFTS, BLOCK, KDA, "KimiK3KDAMetadataBuilder",
        replaces=(
            f"{KDA}:_get_aligned_state_indices_kernel",
            f"{KDA}:_stage_spec_decode_metadata_kernel",
        ),
    ),
)  # fmt: skip
