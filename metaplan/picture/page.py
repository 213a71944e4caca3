"""Where each panel lies on the sheet."""

from __future__ import annotations

from pathlib import Path

from metaplan.picture import panels
from metaplan.picture.cells import SOFT, Sheet
from metaplan.picture.snapshot import Snapshot

LEFT = 1.0
GAP = 3.2


def draw(step: Snapshot, path: Path) -> Path:
    """Writes the picture of ``step`` as a PNG at ``path``; raises NoMatplotlib without matplotlib."""
    follow = _followed(step)
    pages = int(step.page_table.max()) + 1
    window = step.window
    right = LEFT + panels.LABELS + len(step.positions) + GAP
    width = right + 2 * step.page + 7.8
    below = 11.4
    lists = below + 6.4
    sheet = Sheet.new(width, lists + window + 4.8, 0.36)
    sheet.text(
        LEFT, 1.1, "One decode step's metadata, as attention kernels read it", size=17, bold=True
    )
    sheet.text(
        LEFT, 2.25,
        f"{step.requests} requests, {step.tokens} query tokens, pages of {step.page} slots. "
        "A colour is a request; grey hatching is buffer space that is not live.",
        size=10.5, color=SOFT,
    )  # fmt: skip
    panels.requests(sheet, LEFT, 3.8, step)
    panels.page_table(sheet, right, 3.8, step, follow)
    panels.tokens(sheet, LEFT, below, step, follow)
    panels.windows(sheet, LEFT, lists, step, follow)
    panels.pool(sheet, right, below, step, follow, pages)
    panels.path_of(sheet, right, lists + window - 1.0, step, follow)
    sheet.save(path)
    return path


def _followed(step: Snapshot) -> int:
    """A token in the middle of the longest request: not its first, so that the offset shows."""
    longest = max(range(step.requests), key=lambda r: int(step.seq_lens[r]))
    start, stop = (int(step.cu_seqlens[longest + k]) for k in (0, 1))
    return min(start + 1, stop - 1)
