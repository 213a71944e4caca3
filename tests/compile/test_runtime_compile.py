"""A kernel compiles for every target without a device, specialised on nothing but what is promised."""

from __future__ import annotations

import re

import pytest
import triton
import triton.language as tl

from metaplan.runtime.compiled import compile_kernel, gpu_target

pytestmark = pytest.mark.compile

TARGETS = ("cuda:80", "cuda:90", "cuda:100", "hip:gfx942", "hip:gfx950")
TYPES = {"out": "*i32", "of": "*i64", "flag": "*i1", "n": "i32", "far": "i64"}


@triton.jit
def sample(out, of, flag, n, far, BLOCK: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = row < n
    kept = tl.load(flag + row, mask=live, other=0) != 0
    value = tl.load(of + row, mask=live & kept, other=0) + far
    tl.store(out + row, value.to(tl.int32), mask=live)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("aligned", [(), ("out", "of")])
def test_every_target(target: str, aligned: tuple[str, ...]):
    kernel = compile_kernel(sample, TYPES, {"BLOCK": 128}, target=target, aligned=aligned)
    assert kernel.order == ("out", "of", "flag", "n", "far", "BLOCK")
    assert tuple(kernel.types) == ("out", "of", "flag", "n", "far")
    assert kernel.threads == 4 * gpu_target(target).warp_size
    assert kernel.text["ptx" if target.startswith("cuda") else "amdgcn"]
    entry = re.search(r"tt\.func public @sample\((.*?)\) attributes", kernel.text["ttir"])
    assert entry is not None
    promised = [part for part in entry.group(1).split("%") if "tt.divisibility" in part]
    assert [part.split(":")[0] for part in promised] == list(aligned)


def test_promised_alignment_widens_the_access():
    def stores(aligned: tuple[str, ...]) -> int:
        kernel = compile_kernel(sample, TYPES, {"BLOCK": 512}, target="cuda:90", aligned=aligned)
        return len(re.findall(r"st\.global\.(v\d|b32)", kernel.text["ptx"]))

    assert stores(("out",)) <= stores(())


def test_warps_are_an_option():
    one = compile_kernel(sample, TYPES, {"BLOCK": 32}, target="cuda:90", num_warps=1)
    assert one.threads == 32
    assert ".reqntid 32" in one.text["ptx"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"types": {**TYPES, "BLOCK": "i32"}}, "typed and constant at once"),
        ({"constants": {}}, "arguments differ: ['BLOCK']"),
        ({"types": {**TYPES, "n": "fp32"}}, "no such type"),
        ({"aligned": ("n",)}, "aligned, but no pointer"),
        ({"target": "cpu:1"}, "no such target"),
    ],
)
def test_our_own_mistakes_are_caught(change, said):
    given = {"types": TYPES, "constants": {"BLOCK": 64}, "target": "cuda:90", **change}
    with pytest.raises(AssertionError) as caught:
        compile_kernel(sample, given.pop("types"), given.pop("constants"), **given)
    assert said in str(caught.value)
