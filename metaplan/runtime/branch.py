# pyright: basic
"""Work beside a stream: a forked branch of the graph that is being captured, or a stream with events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Branch:
    """A second stream that starts where the current one is, and that the current one waits for at ``join``.

    While a CUDA graph is being captured this makes a branch of the graph; else it orders two streams by events. What
    is launched inside must not write what the current stream still reads before ``join``, nor the other way round.

        branch = mp.Branch()
        with branch:
            step.emit()            # or step()
        logits = head(hidden)      # beside it
        branch.join()
    """

    def __init__(self, device: Any = None) -> None:
        import torch

        self._stream = torch.cuda.Stream(device)
        self._inside: Any = None
        self.open = False

    @contextmanager
    def _on(self) -> Iterator[None]:
        import torch

        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            yield

    def __enter__(self) -> Branch:
        self._inside = self._on()
        self._inside.__enter__()
        self.open = True
        return self

    def __exit__(self, *raised: Any) -> None:
        self._inside.__exit__(*raised)

    def join(self) -> None:
        """The current stream waits for all that was launched on the branch."""
        import torch

        if self.open:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)
            self.open = False
