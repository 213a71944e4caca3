# pyright: basic
"""Work in processes of its own: a job that fails, hangs or breaks the device is one row of the results, and no more."""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Work = Callable[[Any], Row]
BROKEN = "CUDA error"
"""In the words of an error after which nothing works in a process any more."""


def context(preload: Sequence[str] = ()) -> Any:
    """Processes forked from one that has imported ``preload`` already, and never touched a device."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload([*preload])
    return made


class Worker:
    """A process that runs ``work`` on one job after another; where it ends, the next job starts a new one."""

    def __init__(self, work: Work, made: Any) -> None:
        self._work, self._context = work, made
        self._process: Any = None
        self._pipe: Any = None

    def run(self, job: Any, patience: float) -> Row:
        """The row of a job; after ``patience`` seconds its process is ended and the row is an error."""
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._process is None:
            self._start()
        self._pipe.send(job)
        row: Row = {"error": f"took more than {patience:g} s"}
        if self._pipe.poll(patience):
            try:
                row = self._pipe.recv()
            except EOFError:
                self._process.join()
                row = {"error": f"its process ended ({self._process.exitcode})"}
            else:
                if BROKEN not in row.get("error", ""):
                    return row
        self.close()
        return row

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = None

    def _start(self) -> None:
        self._pipe, its = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(its, self._work), daemon=True)
        self._process.start()
        its.close()


def _serve(pipe: Any, work: Work) -> None:
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(work, job))


def attempt(work: Work, job: Any) -> Row:
    """``work(job)``, or a row with its error."""
    try:
        return work(job)
    except Exception as error:  # noqa: BLE001  one job that fails is one line of the results
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:400]}


def side_by_side(
    jobs: Sequence[Any], work: Work, made: Any, processes: int, seconds: float, patience: float
) -> list[Row | None]:
    """The rows of ``jobs`` in their order, from many processes at once; None for those that no time was left for."""
    end = time.monotonic() + seconds
    rows: list[Row | None] = [None] * len(jobs)
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for at in range(len(jobs)):
        todo.put(at)

    def take() -> None:
        worker = Worker(work, made)
        while (left := end - time.monotonic()) > 0 and not todo.empty():
            try:
                at = todo.get_nowait()
            except queue.Empty:
                break
            row = worker.run(jobs[at], min(left, patience))
            out_of_time = "error" in row and time.monotonic() >= end
            rows[at] = None if out_of_time else row
        worker.close()

    threads = [threading.Thread(target=take) for _ in range(min(processes, len(jobs)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rows
