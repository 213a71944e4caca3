"""What a number was measured on: the command, the date, versions and the device."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """All of it as JSON; ``device`` is None without a GPU, and a version None where it is missing."""
    return {
        "command": command(sys.orig_argv),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("torch", "triton", "numpy")},
        "device": device(),
    }


def command(words: list[str]) -> str:
    """A command line as another person types it: files by their names, without their folders."""
    named = [Path(word).name if Path(word).is_absolute() else word for word in words]
    if named[1:] and not named[1].startswith("-") and not named[1].endswith(".py"):
        return " ".join(named[1:])
    return " ".join(["python", *named[1:]])


def version(name: str) -> str | None:
    """The version of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def device() -> dict[str, Any] | None:
    """The first GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    cuda: Any = torch.cuda
    found = cuda.get_device_properties(0)
    return {
        "name": found.name,
        "multiprocessors": found.multi_processor_count,
        "memory_gib": round(found.total_memory / 2**30, 1),
        "capability": [found.major, found.minor],
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
    }
