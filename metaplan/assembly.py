# pyright: basic
"""A built plan as its target's assembly: PTX, or AMD's. No device is needed."""

from __future__ import annotations

from metaplan.compiler import Built
from metaplan.errors import MetaplanError

STAGES = ("ptx", "amdgcn")


class NoTriton(MetaplanError):
    """Kernels are compiled by triton, which is not installed or runs as an interpreter."""


def assembly(built: Built) -> str:
    """The assembly of every kernel of ``built``."""
    try:
        from triton import knobs
    except ImportError as error:
        raise NoTriton(
            "triton is not installed, so there is no assembly", hint="pip install triton"
        ) from error
    if knobs.runtime.interpret:
        raise NoTriton(
            "triton runs as an interpreter, which makes no assembly", hint="unset TRITON_INTERPRET"
        )
    from metaplan.runtime.device_step import compiled

    return "\n".join(
        kernel.text[stage] for kernel in compiled(built) for stage in STAGES if stage in kernel.text
    )
