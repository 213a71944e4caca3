# pyright: basic
"""A built plan as its target's assembly: PTX, or AMD's. No device is needed."""

from __future__ import annotations

from metaplan.compiler import Built
from metaplan.errors import MetaplanError

STAGES = ("ptx", "amdgcn")


class NoTriton(MetaplanError):
    """Kernels are compiled by triton, which is not installed or runs as an interpreter."""


class DoesNotCompile(MetaplanError):
    """Triton refuses a kernel that metaplan wrote: a bug of metaplan's to report."""


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
    from triton.errors import TritonError

    from metaplan.runtime.device_step import compiled

    try:
        kernels = compiled(built)
    except TritonError as error:
        name = f"{built.program.name} does not compile for {built.target.name}"
        raise DoesNotCompile(f"{name}: {_innermost(error)}") from error
    return "\n".join(k.text[stage] for k in kernels for stage in STAGES if stage in k.text)


def _innermost(error: BaseException) -> str:
    """The last line of the first error of a chain: what triton objects to."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[-1]
