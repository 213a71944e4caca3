# pyright: basic
"""Engines' own C++ and CUDA, cut out of their source files and compiled alone.

On the CPU, g++ compiles the text as it is: a block of threads runs as fibers (shims/block.h), and the CUDA runtime is answered
(shims/runtime.h). For a GPU, ``python -m tests.peers.native FOLDER [vllm wheel]`` builds small libraries with nvcc, and
thins vLLM's to one architecture; tests find them where PEERS_NATIVE says. Without a compiler or sources there is no
library, and callers fall back to loops (tests/oracles/schedules.py).
"""

from __future__ import annotations

import ctypes
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.peers.engine import find_folder

SHIMS = Path(__file__).parent / "shims"
FLAGS = ("-std=c++17", "-O2", "-w", "-shared", "-fPIC", "-static-libstdc++", "-static-libgcc")
ARCH = "sm_90"


@dataclass(frozen=True)
class Source:
    """Some text of an engine between two of our files: what it needs, and what calls it.

    ``text`` gives it from the engine's folder. ``host`` is what g++ needs in front, ``device`` what nvcc needs.
    """

    engine: str
    text: Callable[[Path], str]
    host: str
    calls: str
    device: tuple[str, ...] = ()


def between(path: Path, first: str, last: str) -> str:
    """The lines of ``path`` from the one that starts with ``first`` up to the one that starts with ``last``."""
    text = path.read_text()
    begin = re.search(rf"^{re.escape(first)}", text, re.MULTILINE)
    assert begin is not None, f"{path.name} has no {first}"
    end = re.compile(rf"^{re.escape(last)}", re.MULTILINE).search(text, begin.start())
    assert end is not None, f"{path.name} has no {last}"
    return text[begin.start() : end.start()]


def definition(path: Path, name: str) -> str:
    """The struct or function ``name`` of ``path``, from its first line to its closing brace or semicolon."""
    text = path.read_text()
    for found in re.finditer(rf"\b{name}\b\s*[({{]", text):
        lead = text.rfind("\n\n", 0, found.start()) + 2
        head = re.sub(
            r"/\*.*?\*/|//[^\n]*", "", text[lead : found.start()], flags=re.DOTALL
        ).strip()
        if not re.match(r"(template|inline|struct|__forceinline__)\b", head):
            continue
        at, depth = found.end() - 1, 0
        while True:
            depth += (text[at] in "({") - (text[at] in ")}")
            at += 1
            if depth == 0 and (text[at - 1] == "}" or text[at] == ";"):
                break
        return text[lead:at] + (";\n" if "struct" in head or text[at] == ";" else "\n")
    raise AssertionError(f"{path.name} does not define {name}")


def _flash_mla(folder: Path) -> str:
    path = folder / "kernels/jit/csrc/deepseek_v4/flashmla_sched_meta.cuh"
    return between(path, "namespace sglang", "void flashmla_sched_meta(") + "}\n"


def _paged_mqa(folder: Path) -> str:
    path = folder / "kernels/jit/csrc/deepseek_v4/paged_mqa_metadata.cuh"
    return between(path, "namespace sglang", "struct IndexerMetadataKernel") + "}\n"


def _flashinfer(folder: Path) -> str:
    include = folder / "data/include/flashinfer"
    scheduler, utils = include / "attention/scheduler.cuh", include / "utils.cuh"
    names = (
        "BatchDecodeWithPagedKVCacheKernel",
        "PartitionPagedKVCacheBinarySearchMinNumPagePerBatch",
        "BatchDecodeWithPagedKVCacheWorkEstimationDispatched",
        "DecodeSplitKVIndptr",
        "DecodePlanInfo",
        "DecodePlanImpl",
        "DecodePlan",
        "PrefillBinarySearchKVChunkSize",
        "PrefillSplitQOKVIndptr",
        "PrefillPlanInfo",
        "PrefillPlanImpl",
        "PrefillPlan",
    )
    parts = [
        definition(utils, n)
        for n in ("ceil_div", "GetCudaComputeCapability", "FA2DetermineCtaTileQ")
    ]
    parts += [definition(scheduler, n) for n in names]
    head = "".join(f'#include "{include / name}"\n' for name in ("exception.h", "allocator.h"))
    return f"{head}namespace flashinfer {{\n{''.join(parts)}}}\n"


CUB = ("cuda_runtime.h", "cub/block/block_scan.cuh", "cstdint")
SOURCES = {
    "flash_mla": Source("sglang", _flash_mla, "block.h", "flash_mla.h", CUB),
    "paged_mqa": Source("sglang", _paged_mqa, "block.h", "paged_mqa.h", CUB),
    "flashinfer_plan": Source("flashinfer", _flashinfer, "runtime.h", "flashinfer_plan.h"),
}


def folder_of(engine: str) -> Path | None:
    """Where an engine's sources lie; FlashInfer's beside those of the others."""
    try:
        if engine != "flashinfer":
            return find_folder(engine)
        beside = find_folder("vllm").parents[1]
    except FileNotFoundError:
        return None
    return next((found.parents[1] for found in beside.glob("*/flashinfer/data/include")), None)


def program(name: str, device: bool = False) -> str | None:
    """The whole text of a library; None where the engine's is not there."""
    source = SOURCES[name]
    folder = folder_of(source.engine)
    if folder is None:
        return None
    try:
        text = source.text(folder)
    except FileNotFoundError:
        return None
    if device:
        head = "".join(f"#include <{name}>\n" for name in source.device)
    else:
        head = f'#include "{SHIMS / source.host}"\n'
        text = text.replace("extern __shared__", "extern")
    return f'{head}{text}\n#include "{SHIMS / source.calls}"\n'


@cache
def on_host(name: str) -> ctypes.CDLL | None:
    """The library for the CPU; None where it cannot be made."""
    found = carried(f"{name}_host.so") or compiled(name, Path(tempfile.mkdtemp(prefix="peers_")))
    return None if found is None else ctypes.CDLL(str(found))


def compiled(name: str, folder: Path) -> Path | None:
    """The library for the CPU, by g++."""
    compiler, text = shutil.which("g++"), program(name)
    if compiler is None or text is None:
        return None
    source, made = folder / f"{name}.cpp", folder / f"{name}_host.so"
    source.write_text(text)
    subprocess.run([compiler, *FLAGS, source, "-o", made], check=True)
    return made


def carried(file: str) -> Path | None:
    """A prepared library in the folder that PEERS_NATIVE names, unpacked where it is packed."""
    place = os.environ.get("PEERS_NATIVE")
    if not place:
        return None
    plain = Path(place) / file
    packed = plain.with_name(file + ".xz")
    if not plain.exists() and packed.exists():
        plain = Path(tempfile.mkdtemp(prefix="peers_")) / file
        plain.write_bytes(lzma.decompress(packed.read_bytes()))
    return plain if plain.exists() else None


@cache
def on_device(name: str) -> ctypes.CDLL:
    """The library for the GPU: one that was carried here, or built here."""
    found = carried(f"{name}.so")
    if found is None:
        found = built(name, Path(tempfile.mkdtemp(prefix="peers_")))
    return ctypes.CDLL(str(found))


def built(name: str, folder: Path) -> Path:
    """The library for the GPU, by nvcc."""
    text = program(name, device=True)
    assert text is not None, (
        f"no sources of {SOURCES[name].engine} here, and PEERS_NATIVE has no {name}.so"
    )
    source, made = folder / f"{name}.cu", folder / f"{name}.so"
    source.write_text(text)
    command = ["nvcc", f"-arch={ARCH}", "-std=c++17", "-O3", "-shared", "-Xcompiler", "-fPIC"]
    subprocess.run([*command, source, "-o", made], check=True)
    return made


@cache
def torch_library(file: str) -> bool:
    """Whether an engine's own library with torch operators was carried here; it is loaded then."""
    import torch

    found = carried(file)
    if found is not None:
        torch.ops.load_library(str(found))
    return found is not None


# ------------------------------------------------------------- preparing

VLLM_LIBRARIES = (
    "_moe_C_stable_libtorch.abi3.so",
    "_flashmla_extension_C.abi3.so",
)


def prepare(out: Path, wheel: Path | None) -> None:
    """Makes the libraries for a GPU in ``out``, packed."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        for name in ("flash_mla", "paged_mqa"):
            library = built(name, Path(made))
            _pack(library.read_bytes(), out / library.name)
        planner = compiled("flashinfer_plan", Path(made))
        if planner is not None:
            _pack(planner.read_bytes(), out / planner.name)
        if wheel is None:
            return
        import zipfile

        with zipfile.ZipFile(wheel) as archive:
            for file in VLLM_LIBRARIES:
                _pack(thinned(archive.read(f"vllm/{file}")), out / file)


def _pack(data: bytes, place: Path) -> None:
    packed = lzma.compress(data)
    place.with_name(place.name + ".xz").write_bytes(packed)
    print(f"{place.name}: {len(data)} bytes, packed {len(packed)}", flush=True)


def thinned(library: bytes, arch: int = 90) -> bytes:
    """A library with CUDA code of other architectures as zeros, which pack to nothing."""
    import struct

    data = bytearray(library)
    table = struct.unpack_from("<Q", data, 0x28)[0]
    size, count, named = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    names = sections[named][4]
    for name, _, _, _, begin, length in sections:
        if data[names + name : data.index(b"\0", names + name)] != b".nv_fatbin":
            continue
        at = begin
        while at < begin + length - 16:
            magic, _, head, whole = struct.unpack_from("<IHHQ", data, at)
            if magic != 0xBA55ED50:
                at += 8
                continue
            entry, at = at + head, at + head + whole
            while entry < at:
                kind, _, own, room = struct.unpack_from("<HHIQ", data, entry)
                (made_for,) = struct.unpack_from("<I", data, entry + 28)
                if (kind, made_for) != (2, arch):
                    data[entry + own : entry + own + room] = bytes(room)
                entry += own + room
    return bytes(data)


if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
