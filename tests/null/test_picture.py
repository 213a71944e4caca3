"""The picture draws what the arrays say; without matplotlib it says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from metaplan.picture import Snapshot, draw
from metaplan.picture.cells import NoMatplotlib

PNG = b"\x89PNG\r\n"


def snapshot() -> Snapshot:
    """Two requests of 5 and 2 tokens, the last 2 and 1 of them queries; pages of 4, a window of 3."""
    return Snapshot(
        page=4,
        window=3,
        requests=2,
        num_tokens=np.array([6, 2]),
        num_rejected=np.array([1, 0]),
        query_len=np.array([2, 1]),
        cu_seqlens=np.array([0, 2, 3, 3]),
        seq_lens=np.array([5, 2, 0]),
        page_table=np.array([[3, 1], [2, 0], [0, 0]]),
        positions=np.array([3, 4, 1, 0]),
        slot_mapping=np.array([15, 4, 9, -1]),
        window_indptr=np.array([0, 3, 6, 8, 8]),
        window_indices=np.array([13, 14, 15, 14, 15, 4, 8, 9]),
    )


def test_snapshot_reads_its_own_arrays() -> None:
    step = snapshot()
    assert step.tokens == 3
    assert [step.request_of(t) for t in range(3)] == [0, 0, 1]
    assert [step.pages_of(r) for r in range(2)] == [2, 1]
    assert step.window_of(1).tolist() == [14, 15, 4]
    owners = step.owners()
    assert owners[4] == (0, 4)
    assert owners[9] == (1, 1)
    assert len(owners) == 7


def test_draws_a_png_and_leaves_nothing_else(tmp_path: Path) -> None:
    place = draw(snapshot(), tmp_path / "step.png")
    assert place.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [place]


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(NoMatplotlib) as caught:
        draw(snapshot(), tmp_path / "step.png")
    assert str(caught.value) == (
        "matplotlib is not installed, so there is no picture\n  hint: pip install 'metaplan[demo]'"
    )
