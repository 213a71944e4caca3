"""metaplan's own fixture, also where metaplan is not installed."""

from metaplan.auditing.pytest_plugin import sync_audit

__all__ = ["sync_audit"]
