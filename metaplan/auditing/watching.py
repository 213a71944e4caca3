"""``mp.watching()``: the steps of a region of a program, audited."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from metaplan import catalogue
from metaplan.auditing import chrome
from metaplan.auditing.device import need_gpu
from metaplan.auditing.marks import audit_step, listening
from metaplan.auditing.record import Recorder
from metaplan.auditing.report import Report, report
from metaplan.auditing.trace import Trace


class Watched:
    """What is being watched; its report is there when the region is over."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder = recorder
        self._over = False
        self._report: Report | None = None

    def step(self) -> None:
        """Ends a step, as ``mp.audit_step()`` does."""
        audit_step()

    @property
    def trace(self) -> Trace:
        """The records; raises CallError inside the region."""
        if not self._over:
            raise catalogue.still_watching()
        return chrome.parse(self._recorder.whole["traceEvents"], "the watched region")

    @property
    def report(self) -> Report:
        """What the steps did; raises CallError inside the region."""
        if self._report is None:
            self._report = report(self.trace)
        return self._report

    def save(self, path: Path | str) -> None:
        """Writes the trace as .json or .json.gz, for ``metaplan audit`` and Perfetto."""
        if not self._over:
            raise catalogue.still_watching()
        chrome.save(self._recorder.whole, Path(path))

    def close(self) -> None:
        """The region is over."""
        self._over = True


@contextmanager
def watching(
    *, skip: int = 0, steps: int | None = None, stacks: bool = False
) -> Generator[Watched]:
    """Records a region; call ``step()`` at the end of each step, else the region is one step.

    ``skip``: steps to leave out at the start. ``steps``: how many to record, all if None.
    ``stacks``: Python's frames too, for waits of other libraries; every call gets slower. Raises
    CallError without a GPU. Waits for the GPU before and after the region.
    """
    need_gpu()
    recorder = Recorder(skip=skip, most=steps, stacks=stacks)
    watched = Watched(recorder)
    with recorder, listening(recorder.mark):
        recorder.mark()
        yield watched
    watched.close()
