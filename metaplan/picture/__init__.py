"""One step's metadata as a picture that teaches what the arrays are."""

from metaplan.picture.page import draw
from metaplan.picture.snapshot import Snapshot

__all__ = ["Snapshot", "draw"]
