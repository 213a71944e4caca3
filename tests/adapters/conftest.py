"""Models of a few thousand weights: threads would only wait for each other."""

from __future__ import annotations

import torch


def pytest_configure() -> None:
    torch.set_num_threads(1)
