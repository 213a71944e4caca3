"""What this machine has, and what metaplan would use on it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaplan import assembly, assets, compiler, config
from metaplan.cache import Cache
from metaplan.errors import MetaplanError
from metaplan.machine import version
from metaplan.plans import shipped
from metaplan.target import TARGETS
from metaplan.version import VERSION

PROBE = "post_update"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``bad`` is something that keeps metaplan from working here."""

    topic: str
    name: str
    value: str
    bad: bool = False


def examine() -> Iterator[Finding]:
    """Everything that decides how metaplan runs here, in the order in which a person asks."""
    yield Finding("versions", "metaplan", VERSION)
    yield Finding("versions", "python", platform.python_version())
    yield from (_version(name) for name in ("torch", "triton", "numpy"))
    yield from _devices()
    yield from _settings()
    yield from map(_compiles, TARGETS)


def _version(name: str) -> Finding:
    found = version(name)
    if found is None:
        return Finding("versions", name, f"missing: pip install {name}", bad=True)
    return Finding("versions", name, found)


def _devices() -> Iterator[Finding]:
    try:
        import torch
    except ImportError:
        yield Finding("devices", "used", "none: torch is missing", bad=True)
        return
    count = torch.cuda.device_count()
    for index in range(count):
        yield Finding("devices", f"cuda:{index}", _described(index))
    if count and not config.load().interpret:
        way = "driver call or one-node graph" if torch.version.hip is None else "triton's launcher"
        yield Finding("devices", "used", "cuda: kernels on the GPU")
        yield Finding("devices", "launch", way)
    else:
        why = "METAPLAN_INTERPRET is set" if count else "torch sees no GPU"
        yield Finding("devices", "used", f"cpu: plans run in NumPy ({why})")
        yield Finding("devices", "launch", "none")


def _described(index: int) -> str:
    import torch

    cuda: Any = torch.cuda
    device = cuda.get_device_properties(index)
    capability = f"compute capability {device.major}.{device.minor}"
    return f"{device.name}, {device.total_memory / 2**30:.0f} GiB, {capability}"


def _settings() -> Iterator[Finding]:
    now = config.load()
    stats = Cache(now.cache_dir).stats()
    size = f"{stats.entries} kernels, {stats.bytes / 2**10:.0f} KiB"
    yield Finding(
        "settings", "cache", f"{now.cache_dir} ({size})", bad=not _writable(now.cache_dir)
    )
    yield Finding("settings", "compile when missing", "no" if now.disable_jit else "yes")
    yield Finding("settings", "debug level", str(now.debug))
    yield Finding("settings", "dump", str(now.dump or "nowhere"))
    yield Finding("settings", "templates", str(assets.folder("templates")))


def _writable(place: Path) -> bool:
    while not place.exists():
        place = place.parent
    return os.access(place, os.W_OK)


def _compiles(name: str) -> Finding:
    chosen = shipped()[PROBE]
    start = time.perf_counter()
    try:
        assembly.assembly(compiler.build(chosen.plan.ir, chosen.sizes, TARGETS[name]))
    except MetaplanError as error:
        return Finding("targets", name, str(error).splitlines()[0], bad=True)
    return Finding("targets", name, f"{PROBE} compiles ({time.perf_counter() - start:.1f} s)")
