# pyright: basic
"""The kernels of the benchmark's decoder compile for the GPU that it runs on, at both of its sizes."""

from __future__ import annotations

from typing import Any

import pytest

from bench.loops import kernels
from bench.loops.model import SHAPES
from metaplan.runtime.compiled import gpu_target

pytestmark = pytest.mark.compile
BF16, F32, I32 = "*bf16", "*fp32", "*i32"


def signatures(shape: Any) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Of each kernel: types of its arguments, values of its constants."""
    attention = {"HEADS": shape.heads, "KV_HEADS": shape.kv_heads}
    split = {**attention, "HEAD": shape.head, "SPLITS": 4, "GROUP": 16}
    return {
        "add_norm": (
            {"x": BF16, "residual": BF16, "weight": BF16, "out": BF16},
            {"ADD": True, "WIDTH": shape.hidden, "BLOCK": 4096},
        ),
        "rotate_and_store": (
            {
                "qkv": BF16,
                "turns": F32,
                "positions": I32,
                "slot_mapping": I32,
                "queries": BF16,
                "cache": BF16,
            }
            | {"slots": "i32"},
            {**attention, "HALF": shape.head // 2},
        ),
        "attend": (
            {
                "queries": BF16,
                "cache": BF16,
                "block_table": I32,
                "seq_lens": I32,
                "sums": F32,
                "weights": F32,
            }
            | {"slots": "i32", "width": "i32"},
            {**split, "PAGE": 64, "TILE": 64, "SCALE": shape.head**-0.5},
        ),
        "combine": ({"sums": F32, "weights": F32, "out": BF16}, split),
        "gate": ({"both": BF16, "out": BF16}, {"WIDTH": shape.inner, "BLOCK": 1024}),
        "copy_prompt": (
            {"prompt": BF16, "cache": BF16, "pages": I32}
            | dict.fromkeys(("start", "length", "longest", "slots"), "i32"),
            {"PAGE": 64, "WIDTH": 1024, "TILE": 4, "BLOCK": 1024},
        ),
        "carry_over": (
            {"input_ids": I32, "sampled": I32, "carry": I32, "rows": "i32"},
            {"BLOCK": 32},
        ),
    }


def compiled(name: str, types: dict[str, str], constants: dict[str, Any]) -> Any:
    from triton.compiler import ASTSource, compile

    kernel = getattr(kernels, name)
    signature = {arg: types.get(arg, "constexpr") for arg in kernel.arg_names}
    assert set(signature) == types.keys() | constants.keys()
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return compile(source, target=gpu_target("cuda:90"))


@pytest.mark.parametrize("size", ["0.6b", "8b"])
@pytest.mark.parametrize("name", signatures(SHAPES["8b"]))
def test_a_kernel_compiles(name, size):
    assert compiled(name, *signatures(SHAPES[size])[name]).metadata.shared < 228 * 1024


def test_a_kernel_takes_what_our_loop_gives_it():
    types, constants = signatures(SHAPES["8b"])["rotate_and_store"]
    assert compiled(
        "rotate_and_store", types | {"positions": "*i64", "slot_mapping": "*i64"}, constants
    )
