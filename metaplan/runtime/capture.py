# pyright: basic
"""A function as a CUDA graph, warmed up before it is captured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metaplan.runtime.branch import Branch


def captured(
    call: Callable[[], None], *, warm: Callable[[], None] | None = None, pool: Any = None
) -> Any:
    """What ``call`` launches as a ``torch.cuda.CUDAGraph`` in the memory of ``pool``, by default one of its own.

    ``warm`` runs before, on a stream of its own; by default ``call`` does. Plans that change states do nothing there if
    they are launched by ``emit``.
    """
    import torch

    aside = Branch()
    with aside:
        (warm or call)()
    aside.join()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        call()
    return graph
