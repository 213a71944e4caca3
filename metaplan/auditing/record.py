# pyright: basic
"""A program's steps under torch's profiler, with the user's lines in the trace."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from metaplan import catalogue
from metaplan.auditing import allocations
from metaplan.auditing.marking import marking
from metaplan.auditing.steps import BEGIN, END, STEP

WARM = 3
"""Skipped steps that are recorded all the same, in front of the first: a profiler that has just started is slow."""


class Recorder:
    """Records what its region does: from the mark after ``skip`` marks on, for ``most`` steps.

    Before that mark it records too, for the case that none comes, and drops all but the last steps of it: the
    first recording of a process also sets the profiler up, which must not fall into a step.
    ``stacks``: Python's frames as well, which makes every call slower.
    """

    def __init__(self, *, skip: int = 0, most: int | None = None, stacks: bool = False) -> None:
        self.skip, self.most, self.stacks = skip, most, stacks
        self.marks = 0
        self._opened = ExitStack()
        self._profiler: Any = None
        self._since_us = 0.0
        self._whole: dict[str, Any] | None = None

    def __enter__(self) -> Recorder:
        self._opened.enter_context(allocations.remembering())
        self._opened.enter_context(marking())
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._opened:
            self._stop()

    def mark(self) -> None:
        """The boundary of a step."""
        at = self.marks - self.skip
        self.marks += 1
        if self._profiler is None:
            return
        if at == -min(self.skip, WARM):
            self._stop()
            self._start()
        if at < 0:
            return
        self._stamp(STEP)
        if at == self.most:
            self._stop()

    @property
    def whole(self) -> dict[str, Any]:
        """The trace as the profiler writes it; raises CallError where every step was skipped."""
        if self.skip and self.marks < self.skip + 2:
            raise catalogue.all_steps_skipped(max(self.marks - 1, 0), self.skip)
        assert self._profiler is None
        assert self._whole is not None
        return self._whole

    def _start(self) -> None:
        import torch
        from torch._C._profiler import _ExperimentalConfig
        from torch.profiler import ProfilerActivity

        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            activities.append(ProfilerActivity.CUDA)
        self._profiler = torch.profiler.profile(
            activities=activities,
            with_stack=self.stacks,
            experimental_config=_ExperimentalConfig(enable_cuda_sync_events=True),
        )
        self._since_us = time.time() * 1e6
        self._profiler.start()
        self._stamp(BEGIN)

    def _stop(self) -> None:
        import torch

        if self._profiler is None:
            return
        self._stamp(END)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        self._whole = _exported(profiler)
        base_us = self._whole.get("baseTimeNanoseconds", 0) / 1e3
        entries = allocations.remembered(self._since_us)
        self._whole["traceEvents"] += allocations.notes(entries, base_us)

    def _stamp(self, name: str) -> None:
        import torch

        with torch.profiler.record_function(name):
            pass


def _exported(profiler: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return json.loads(path.read_text(errors="replace"))
