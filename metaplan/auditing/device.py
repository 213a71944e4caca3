# pyright: basic
"""Whether there is a GPU to wait for."""

from __future__ import annotations

from metaplan import catalogue


def has_gpu() -> bool:
    """Whether torch is there and sees a GPU."""
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def need_gpu() -> None:
    """Raises CallError without one."""
    if not has_gpu():
        raise catalogue.audit_without_gpu()
