"""This suite needs no triton: an import of it fails here even where it is installed."""

from __future__ import annotations

import sys

sys.modules["triton"] = None  # type: ignore[assignment]
