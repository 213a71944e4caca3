# pyright: basic
"""Kernels compiled ahead of time, for any integers and any alignment that was not promised."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

INTERPRET = "interpret"
"""The target that compiles nothing: TRITON_INTERPRET=1 runs the kernel's Python on CPU tensors."""

POINTERS = ("*i32", "*i64", "*u8", "*u16", "*i1")
INTEGERS = ("i32", "i64")
HIDDEN = 2
"""Pointers that triton appends to every kernel: global scratch and profile scratch, both null here."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A compiled kernel: ``types`` are its runtime arguments in order, ``order`` all of them."""

    name: str
    fn: Any
    order: tuple[str, ...]
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    num_warps: int
    target: str
    binary: Any

    @property
    def text(self) -> Mapping[str, Any]:
        """Every stage that triton kept: ttir, ttgir, llir, ptx or amdgcn; empty when interpreted."""
        return {} if self.binary is None else self.binary.asm

    @property
    def threads(self) -> int:
        return self.num_warps * (
            1 if self.binary is None else self.binary.metadata.target.warp_size
        )


def compile_kernel(
    fn: Any,
    types: Mapping[str, str],
    constants: Mapping[str, Any],
    *,
    target: str,
    aligned: Collection[str] = (),
    num_warps: int = 4,
    num_stages: int | None = None,
) -> Kernel:
    """``fn`` (@triton.jit) for ``target`` ("cuda:90", "hip:gfx942"), specialised on nothing.

    ``types`` maps runtime arguments to "*i32", "*i64", "*u8", "*i1", "i32" or "i64", ``constants``
    the others to their values. Pointers named in ``aligned`` are promised to be divisible by 16.
    """
    order = tuple(fn.arg_names)
    runtime = {name: types[name] for name in order if name in types}
    _check(fn.__name__, order, types, constants, aligned)
    if target == INTERPRET:
        return Kernel(fn.__name__, fn, order, runtime, dict(constants), num_warps, target, None)

    from triton.compiler import ASTSource, compile

    source = ASTSource(
        fn=fn,
        signature={name: runtime.get(name, "constexpr") for name in order},
        constexprs=dict(constants),
        attrs={(order.index(name),): [["tt.divisibility", 16]] for name in sorted(aligned)},
    )
    options = {"num_warps": num_warps}
    if num_stages is not None:
        options["num_stages"] = num_stages
    binary = compile(source, target=gpu_target(target), options=options)
    _check_binary(fn.__name__, binary, len(runtime))
    return Kernel(fn.__name__, fn, order, runtime, dict(constants), num_warps, target, binary)


def gpu_target(target: str) -> Any:
    """triton's own name for "cuda:90" or "hip:gfx942"."""
    from triton.backends.compiler import GPUTarget

    backend, _, arch = target.partition(":")
    if backend == "cuda":
        return GPUTarget("cuda", int(arch), 32)
    assert target.startswith("hip:gfx"), f"no such target: {target}"
    return GPUTarget("hip", arch, 64 if arch.startswith("gfx9") else 32)


def this_target(device: Any) -> str:
    """The target of a device that is here: "cuda:90" on an H200."""
    import torch

    if torch.version.hip is not None:
        return f"hip:{torch.cuda.get_device_properties(device).gcnArchName.split(':')[0]}"
    major, minor = torch.cuda.get_device_capability(device)
    return f"cuda:{major * 10 + minor}"


def _check(
    name: str,
    order: tuple[str, ...],
    types: Mapping[str, str],
    constants: Mapping[str, Any],
    aligned: Collection[str],
) -> None:
    both = types.keys() & constants.keys()
    assert not both, f"{name}: typed and constant at once: {sorted(both)}"
    given = types.keys() | constants.keys()
    assert given == set(order), f"{name}: arguments differ: {sorted(given ^ set(order))}"
    wrong = sorted(k for k, v in types.items() if v not in POINTERS + INTEGERS)
    assert not wrong, f"{name}: no such type: {[(k, types[k]) for k in wrong]}"
    loose = sorted(k for k in aligned if types.get(k) not in POINTERS)
    assert not loose, f"{name}: aligned, but no pointer: {loose}"


def _check_binary(name: str, binary: Any, count: int) -> None:
    """A launch packs its arguments by hand, so the entry must take exactly what we think."""
    for scratch in ("global_scratch_size", "profile_scratch_size"):
        assert not getattr(binary.metadata, scratch, 0), f"{name} needs {scratch}"
    if (ptx := binary.asm.get("ptx")) is not None:
        entry = re.search(r"\.entry[^(]*\((.*?)\)\s*\.", ptx, re.DOTALL)
        found = entry.group(1).count(".param") if entry else -1
        assert found == count + HIDDEN, f"{name}: {found} parameters, not {count} + {HIDDEN}"
