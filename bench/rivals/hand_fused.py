"""The hand-written fused kernels, one launch each: what a generated kernel has to equal or beat."""

from __future__ import annotations

from bench.rivals.fused_engine import engine_step, post_update
from bench.rivals.fused_paged import paged_decode
from bench.rivals.fused_v4 import v4_decode

__all__ = ["engine_step", "paged_decode", "post_update", "v4_decode"]
