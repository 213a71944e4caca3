# pyright: basic
"""The engines that peers are taken from, with what their files need to run alone."""

from __future__ import annotations

import contextlib
import types
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from tests.peers import native_calls
from tests.peers.engine import Engine, stand_in

VLLM_REAL = (
    "utils/math_utils.py",
    "v1/attention/backend.py",
    "v1/attention/backends/utils.py",
    "v1/attention/backends/flashinfer.py",
    "v1/attention/backends/flash_attn.py",
    "v1/worker/cp_utils.py",
    "v1/worker/utils.py",
    "v1/worker/gpu/attn_utils.py",
    "v1/attention/ops/metadata.py",
    "v1/worker/block_table.py",
    "v1/worker/ubatch_utils.py",
    "v1/worker/gpu/buffer_utils.py",
    "v1/worker/gpu/block_table.py",
    "v1/worker/gpu/cp_utils.py",
    "v1/worker/gpu/input_batch.py",
    "v1/worker/gpu/ubatch_utils.py",
    "v1/attention/backends/triton_attn.py",
    "v1/attention/backends/rocm_aiter_fa.py",
    "model_executor/layers/attention/chunked_local_attention.py",
    "model_executor/warmup/jit_warmup.py",
    "model_executor/warmup/jit_warmup_triton_helper.py",
    "v1/spec_decode/utils.py",
    "v1/spec_decode/llm_base_proposer.py",
    "v1/spec_decode/metadata.py",
    "v1/worker/gpu_model_runner.py",
    "v1/worker/gpu/spec_decode/target_dependent_ar/speculator.py",
    "v1/worker/gpu/spec_decode/dflash/speculator.py",
    "v1/attention/backends/mla/compressor_utils.py",
    "v1/attention/backends/mla/sparse_swa.py",
    "v1/attention/backends/mla/indexer.py",
    "models/deepseek_v4/sparse_mla.py",
    "models/deepseek_v41/amd/ops/swa_decode_meta.py",
    "models/qwen4_exp/common/qsa_cache.py",
    "v1/attention/backends/gdn_attn.py",
    "v1/worker/mamba_utils.py",
    "models/kimi_k3/nvidia/kda_metadata.py",
    "third_party/flash_linear_attention/ops/index.py",
    "models/step5/nvidia/ops/sparse_indexer.py",
    "model_executor/layers/fused_moe/moe_align_block_size.py",
    "model_executor/layers/fused_moe/utils.py",
)
SGLANG_REAL = (
    "kernels/ops/attention/kv_indices.py",
    "kernels/ops/attention/metadata.py",
    "kernels/ops/attention/position.py",
    "kernels/ops/memory/common.py",
    "kernels/ops/memory/allocator.py",
    "kernels/ops/attention/pa_page_table.py",
    "kernels/ops/attention/aiter_unified_page_table.py",
    "kernels/ops/attention/trtllm_mha_page_table.py",
    "kernels/ops/attention/trtllm_mha_graph_metadata.py",
    "kernels/ops/kvcache/kv_read_table.py",
    "srt/layers/attention/flashinfer_backend.py",
    "srt/layers/attention/aiter_backend.py",
    "srt/layers/attention/trtllm_mla_backend.py",
    "srt/layers/attention/trtllm_mha_backend.py",
    "kernels/ops/attention/utils.py",
    "srt/layers/attention/local_attention.py",
    "srt/layers/attention/flashattention_backend.py",
    "srt/mem_cache/kv_index_translator.py",
    "srt/mem_cache/kv_loc_plan.py",
    "srt/mem_cache/allocator/paged.py",
    "srt/mem_cache/allocation.py",
    "srt/mem_cache/base_swa_memory_pool.py",
    "srt/mem_cache/swa_memory_pool.py",
    "srt/model_executor/forward_batch_deepseek_mha_mixin.py",
    "srt/speculative/eagle_info.py",
    "srt/speculative/spec_info.py",
    "kernels/ops/attention/dsv4/attn_metadata_kernels.py",
    "kernels/ops/attention/dsv4/metadata_kernel.py",
    "srt/layers/attention/dsv4/metadata.py",
    "srt/layers/attention/deepseek_v4_backend.py",
    "kernels/ops/attention/msa_v1/decode_plan.py",
    "kernels/ops/mamba/mamba_state_indices_triton.py",
    "srt/layers/attention/hybrid_linear_attn_backend.py",
    "srt/layers/attention/minimax_sparse_ops/msa_plan.py",
    "kernels/ops/attention/dsv4/trtllm_metadata.py",
    "kernels/ops/attention/dsv4/sparse_prefill_kernels.py",
    "kernels/ops/attention/dsv4/dequant_k_cache.py",
    "srt/layers/attention/dsv4/sparse_prefill_utils.py",
    "kernels/ops/attention/dsa/metadata.py",
    "kernels/ops/attention/dsa/transform_index.py",
    "kernels/ops/attention/dsa/kpool_metadata/scan.py",
    "kernels/ops/attention/dsa/kpool_metadata/decode.py",
    "kernels/ops/attention/dsa/kpool_metadata/verify.py",
    "kernels/ops/attention/dsa/kpool_metadata/draft_extend.py",
    "kernels/ops/attention/pad.py",
    "srt/layers/attention/dsa/dsa_backend_mtp_precompute.py",
    "srt/layers/attention/dsa/utils.py",
    "srt/layers/attention/dsa_backend.py",
    "kernels/ops/speculative/cache_locs.py",
    "kernels/ops/speculative/eagle.py",
    "kernels/ops/speculative/multi_layer_eagle.py",
    "srt/speculative/eagle_worker_common.py",
    "srt/speculative/spec_utils.py",
    "srt/layers/attention/triton_backend.py",
    "kernels/ops/attention/dsv4/attn.py",
    "kernels/ops/attention/dsv4/flashmla_sched_meta.py",
    "kernels/ops/moe/moe_align_small_numel.py",
    "srt/layers/moe/moe_runner/triton_utils/moe_align_block_size.py",
    "test/kernels/moe_align.py",
)


class _Anything:
    """An object whose every attribute can be read and called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


class _Logger:
    def __getattr__(self, _: str) -> Any:
        return lambda *a, **k: None


def to_device(data: Any, device: Any = None, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """A host array to the device through pinned memory without waiting."""
    host = torch.as_tensor(data, dtype=dtype if out is None else out.dtype)
    if torch.cuda.is_available():
        host = host.pin_memory()
    return host.to(device, non_blocking=True) if out is None else out.copy_(host, non_blocking=True)


class _Group:
    world_size, rank_in_group = 1, 0


@cache
def vllm() -> Engine:
    platform = _Anything()
    platform.__dict__.update(
        device_type="cuda" if torch.cuda.is_available() else "cpu",
        **{
            f"is_{name}": (lambda answer: lambda *a, **k: answer)(name in ("cuda", "cuda_alike"))
            for name in ("cuda", "cuda_alike", "rocm", "xpu", "cpu", "tpu", "device_capability")
        },
        is_device_capability_family=lambda *a, **k: False,
        has_device_capability=lambda *a, **k: False,
        is_arch_support_pdl=lambda *a, **k: False,
        get_device_capability=lambda *a, **k: None,
    )
    known = {
        "vllm.triton_utils": dict(tl=tl, triton=triton, HAS_TRITON=True, tldevice=None),
        "vllm.platforms": dict(current_platform=platform),
        "vllm.models.deepseek_v41.amd.ops": dict(enabled=lambda: True),
        "vllm.utils.deep_gemm": dict(has_deep_gemm=lambda: False),
        "vllm.third_party.flash_linear_attention.ops.utils": dict(FLA_CHUNK_SIZE=64),
        "vllm.logger": dict(init_logger=lambda _: _Logger()),
        "vllm._custom_ops": dict(
            moe_align_block_size=native_calls.moe_align_block_size,
            batched_moe_align_block_size=native_calls.batched_moe_align_block_size,
        ),
        "vllm.utils.torch_utils": dict(
            async_tensor_h2d=to_device,
            PIN_MEMORY=torch.cuda.is_available(),
            np_to_pinned_tensor=lambda a: torch.from_numpy(a),
        ),
        "vllm.utils.gpu_sync_debug": dict(gpu_sync_allowed=contextlib.nullcontext),
        "vllm.distributed": dict(get_dcp_group=_Group, get_pcp_group=_Group),
        "vllm.utils.flashinfer": dict(
            use_trtllm_attention=lambda *a, force_use_trtllm=None, **k: bool(force_use_trtllm)
        ),
        "transformers": {},
        "flashinfer": {},
    }
    return Engine("vllm", VLLM_REAL, known)


@cache
def sglang() -> Engine:
    def never(*_: Any, **__: Any) -> bool:
        return False

    def power(n: int) -> int:
        return 1 if n <= 1 else 1 << (n - 1).bit_length()

    def aligned(a: int, b: int) -> int:
        return -(-a // b) * b

    platform = _Anything()
    platform.__dict__.update(
        is_out_of_tree=never,
        get_speculative_cache_locs_fn=lambda: None,
        capabilities=types.SimpleNamespace(supports_triton=True),
    )
    common = dict(
        is_cpu=never, is_cuda=lambda: True, is_hip=never, is_npu=never, is_xpu=never, is_musa=never,
        next_power_of_2=power, ceil_align=aligned, get_bool_env_var=never,
    )  # fmt: skip
    known = {
        "sglang.srt.utils": common,
        "sglang.srt.utils.common": dict(ceil_align=aligned, async_h2d=to_device),
        "sglang.srt.platforms": dict(current_platform=platform),
        "sglang.kernels.jit.utils": dict(
            cache_once=cache, load_jit=native_calls.load_jit, is_arch_support_pdl=never
        ),
        "msgspec": dict(Struct=_record()),
    }
    return Engine("sglang", SGLANG_REAL, known)


def _record() -> type:
    """What stands for msgspec.Struct: its annotations become fields."""
    import dataclasses

    class Struct:
        def __init_subclass__(cls, **_: Any) -> None:
            dataclasses.dataclass(cls)

    return Struct


ENGINES = {"vllm": vllm, "sglang": sglang}
