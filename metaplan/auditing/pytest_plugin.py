"""The fixture ``sync_audit``; nothing of torch is imported before a test asks for it."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def sync_audit() -> Any:
    """``sync_audit(fn)`` or ``with sync_audit():``: fails the test where fn or the body waits for the GPU.

    It is ``mp.assert_sync_free``: what it checks must have run once before. Skips without a GPU.
    """
    from metaplan.auditing.device import has_gpu
    from metaplan.auditing.regions import assert_sync_free

    if not has_gpu():
        pytest.skip("sync_audit: torch sees no GPU here, so nothing can wait for one")
    return assert_sync_free
