# pyright: basic
"""vLLM 0.33's own Triton kernels of its default GPU runner, run beside ours with torch and triton only.

The engine's four source files are executed as they are, from an installed or unpacked package; only the names that they
import from elsewhere in the package are answered by small stand-ins. Nothing of ``vllm`` enters ``sys.modules``.

    pip install --no-deps vllm==0.33.0
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import types
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl

from tests.peers.engines import to_device as to_device

FILES = ("buffer_utils", "cp_utils", "block_table", "input_batch")  # in the order of their imports
RUNNER = "vllm.v1.worker.gpu"
PAD_SLOT = -1  # what the engine calls PAD_SLOT_ID


@dataclass(frozen=True, slots=True)
class Kernels:
    """The engine's modules, each executed from its own file."""

    input_batch: types.ModuleType
    block_table: types.ModuleType
    cp_utils: types.ModuleType
    folder: Path


def find_folder(folder: str | Path | None = None) -> Path | None:
    """The folder that holds ``v1/worker/gpu``: the given one, or the installed package; None where there is none."""
    if folder is None:
        spec = importlib.util.find_spec("vllm")  # finds, does not import
        places = list(spec.submodule_search_locations or []) if spec else []
    else:
        places = [str(folder), str(Path(folder) / "vllm")]
    for place in places:
        if all((Path(place) / "v1/worker/gpu" / f"{name}.py").is_file() for name in FILES):
            return Path(place)
    return None


def load(folder: str | Path | None = None) -> Kernels:
    """Execute the engine's files; raises FileNotFoundError that says what to install."""
    found = find_folder(folder)
    if found is None:
        raise FileNotFoundError(
            f"no vLLM sources in {folder or 'this environment'}: pip install --no-deps vllm==0.33.0, "
            f"or pass a folder with v1/worker/gpu/{{{','.join(FILES)}}}.py"
        )
    known: dict[str, Any] = _stand_ins()
    for name in FILES:
        known[f"{RUNNER}.{name}"] = _execute(found / "v1/worker/gpu" / f"{name}.py", known)
    return Kernels(
        known[f"{RUNNER}.input_batch"],
        known[f"{RUNNER}.block_table"],
        known[f"{RUNNER}.cp_utils"],
        found,
    )


def _stand_ins() -> dict[str, Any]:
    """The names that the four files import from the rest of the package, and nothing more."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    quiet = types.SimpleNamespace(warning_once=lambda *_: None)
    return {
        "vllm.triton_utils": types.SimpleNamespace(tl=tl, triton=triton),
        "vllm.utils": types.SimpleNamespace(random_uuid=lambda: uuid.uuid4().hex),
        "vllm.utils.math_utils": types.SimpleNamespace(cdiv=lambda a, b: -(-a // b)),
        "vllm.utils.platform_utils": types.SimpleNamespace(is_uva_available=lambda: False),
        "vllm.utils.torch_utils": types.SimpleNamespace(
            async_tensor_h2d=to_device, get_accelerator_view_from_cpu_tensor=None
        ),
        "vllm.logger": types.SimpleNamespace(init_logger=lambda _: quiet),
        "vllm.platforms": types.SimpleNamespace(
            current_platform=types.SimpleNamespace(device_type=device)
        ),
        "vllm.v1.attention.backends.utils": types.SimpleNamespace(PAD_SLOT_ID=PAD_SLOT),
    }


def _execute(path: Path, known: Mapping[str, Any]) -> types.ModuleType:
    """Run one file with ``import`` answered from ``known`` for every name below ``vllm``."""
    module = types.ModuleType(f"metaplan_peer.{path.stem}")
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import_from(known)}
    sys.modules[module.__name__] = module  # dataclasses look their module up while they are made
    try:
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


def _import_from(known: Mapping[str, Any]) -> Callable[..., Any]:
    def import_(
        name: str, globals_: Any = None, locals_: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        if name.partition(".")[0] != "vllm":
            return __import__(name, globals_, locals_, fromlist, level)
        if name not in known:
            raise ImportError(
                f"{name}: no stand-in for it; this is another vLLM than 0.33, extend _stand_ins"
            )
        return known[name]

    return import_
