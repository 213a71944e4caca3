"""Five environment variables become one frozen Config; no other file reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from metaplan.errors import MetaplanError


class ConfigError(MetaplanError):
    """A variable of the environment has a value that means nothing."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the environment asks for; every field has a default that suits a production run."""

    cache_dir: Path
    """METAPLAN_CACHE_DIR: where generated kernels are kept; ``~/.cache/metaplan``."""
    debug: int
    """METAPLAN_DEBUG: 1 cache and compile events, 2 kernel text, 3 the plan after each pass, 4 PTX."""
    dump: Path | None
    """METAPLAN_DUMP: a folder that receives the plan, its program and its kernel at every compile."""
    disable_jit: bool
    """METAPLAN_DISABLE_JIT: a kernel that is not in the cache is an error instead of a compile."""
    interpret: bool
    """METAPLAN_INTERPRET: steps run the plan itself in NumPy, whatever the device."""


def load(environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of this process, read afresh at each call."""
    values = os.environ if environ is None else environ
    dump = values.get("METAPLAN_DUMP", "")
    return Config(
        cache_dir=_folder(values.get("METAPLAN_CACHE_DIR", "") or "~/.cache/metaplan"),
        debug=_level(values.get("METAPLAN_DEBUG", "")),
        dump=_folder(dump) if dump else None,
        disable_jit=_switch("METAPLAN_DISABLE_JIT", values.get("METAPLAN_DISABLE_JIT", "")),
        interpret=_switch("METAPLAN_INTERPRET", values.get("METAPLAN_INTERPRET", "")),
    )


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _level(text: str) -> int:
    if text in ("", "0", "1", "2", "3", "4"):
        return int(text or 0)
    raise ConfigError(
        f"METAPLAN_DEBUG={text} is no level",
        hint="write 0 (silent) to 4 (everything, PTX included)",
    )


def _switch(name: str, text: str) -> bool:
    if text.lower() in ("", "0", "false", "no", "off"):
        return False
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    raise ConfigError(f"{name}={text} is no switch", hint=f"write {name}=1, or leave it unset")


def interpreted() -> dict[str, str]:
    """The environment of a child process in which triton interprets, unless there is a GPU."""
    import torch

    if torch.cuda.is_available():
        return dict(os.environ)
    return {**os.environ, "TRITON_INTERPRET": "1"}
