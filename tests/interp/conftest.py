"""Kernels of this folder run on the CPU: the interpreter has to be chosen before triton is imported."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_configure() -> None:
    from metaplan.checking.quick import quicken

    quicken()
