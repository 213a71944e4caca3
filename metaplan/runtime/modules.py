# pyright: basic
"""Generated text as a module: Triton reads a kernel's source from a real file."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from metaplan import config
from metaplan.cache import Cache


def load(source: str, name: str) -> ModuleType:
    """The module of ``source``, kept in the cache folder and imported once a process."""
    key = hashlib.sha256(source.encode()).hexdigest()[:24]
    label = f"metaplan_kernels.{name}_{key}"
    if label in sys.modules:
        return sys.modules[label]
    settings = config.load()
    cache = Cache(settings.cache_dir, settings.disable_jit)
    path = cache.folder(key, lambda: {f"{name}.py": source}) / f"{name}.py"
    return _imported(label, path)


def _imported(label: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module
    spec.loader.exec_module(module)
    return module
