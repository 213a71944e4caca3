# pyright: basic
"""The ladder, from the bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.ladder import overlapped, plain, whole
from bench.ladder.shape import Generate, Shape

RUNGS: dict[str, Callable[[Any, Shape], Generate]] = {
    "naive": plain.naive,
    "KV cache": plain.kv_cache,
    "static cache": plain.static_cache,
    "compiled": plain.compiled,
    "compiled, reduce-overhead": plain.reduce_overhead,
    "two streams": overlapped.two_streams,
    "deferred flag": overlapped.deferred_flag,
    "ours": whole.ours,
    "ours, compiled": whole.ours_compiled,
    "generate": whole.generate,
    "generate, static": whole.generate_static,
}
"""Each makes a function that generates; what it makes once (a cache, graphs) it keeps between calls."""

ONE_CALL = ("KV cache", "ours", "ours, compiled", "generate", "generate, static")
"""The rungs of a model that is too large for the rest to say anything."""
