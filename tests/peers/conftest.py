"""Kernels of this folder run on the CPU, in triton's interpreter where the environment says so."""

from __future__ import annotations


def pytest_configure() -> None:
    from metaplan.checking.quick import quicken

    quicken()
