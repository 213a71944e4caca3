"""Processes that try plans: one that dies or never answers is told as a failure, and replaced."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.fuzz.outcomes import FAILED, FINE, Outcome
from tests.fuzz.plans import Case

MEMORY = 8 << 30
"""Bytes that a process may map, where no GPU is used."""
SILENT = 300
"""Seconds without an answer after which a process is given up."""
PLANS = 300
"""Plans that one process tries: interpreters and compilers keep what they made."""


def _work(link: Connection, device: str, batches: int) -> None:
    """Answers every case with its outcome until the link is closed."""
    if device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    if device != "cuda":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    folder = tempfile.mkdtemp(prefix="fuzz_")
    tempfile.tempdir = folder
    os.environ.setdefault("METAPLAN_CACHE_DIR", folder)
    os.environ.setdefault("TRITON_CACHE_DIR", folder)
    try:
        from tests.fuzz.declaring import entries
        from tests.fuzz.trying import tried

        if device == "cpu":
            from metaplan.checking.quick import quicken

            quicken()
        entries()
        while (case := link.recv()) is not None:
            link.send(tried(case, device, batches))
    except EOFError:
        pass
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Side:
    """One process that tries plans in one way."""

    device: str
    batches: int
    link: Any = None
    process: Any = None
    done: int = 0

    def give(self, case: Case) -> None:
        if self.process is None or self.done >= PLANS:
            self.stop()
            context = get_context("spawn")
            self.link, theirs = context.Pipe()
            self.process = context.Process(
                target=_work, args=(theirs, self.device, self.batches), daemon=True
            )
            self.process.start()
            theirs.close()
            self.done = 0
        self.done += 1
        self.link.send(case)

    def answer(self, case: Case) -> Outcome:
        """What became of the case; of a process that died, that it did."""
        try:
            return self.link.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            self.stop()
            return _lost(case, f"the process died with {code}", f"died {code}")

    def kill(self) -> None:
        self.process.kill()
        self.stop()

    def stop(self) -> None:
        if self.process is not None:
            self.link.close()
            self.process.join(5)
            if self.process.is_alive():
                self.process.kill()
        self.process = None


class Worker:
    """Tries one case at a time; those that are fine so far go on to be compiled, each ``every``-th seed of them."""

    def __init__(self, device: str, batches: int, every: int) -> None:
        self.every = every
        self.first, self.compiling = Side(device, batches), Side("compile", batches)
        self.busy = self.first
        self.case: Case | None = None
        self.before: Outcome | None = None
        self.since = 0.0

    @property
    def link(self) -> Connection:
        return self.busy.link

    def give(self, case: Case) -> None:
        self.case, self.busy, self.before = case, self.first, None
        self._send()

    def _send(self) -> None:
        assert self.case is not None
        self.since = time.monotonic()
        self.busy.give(self.case)

    def answer(self) -> Outcome | None:
        """What became of the case, or None where it goes on."""
        assert self.case is not None
        out = self.busy.answer(self.case)
        if self.before is not None:
            return self._ends(self._beside(out))
        if not self.every or self.case.seed % self.every or out.state != FINE:
            return self._ends(out)
        self.before, self.busy = out, self.compiling
        self._send()
        return None

    def _beside(self, out: Outcome) -> Outcome:
        """What was found by running it, and that a compiler takes it or does not."""
        assert self.before is not None
        if out.state == FINE:
            return replace(self.before, compiled=True)
        return replace(self.before, state=FAILED, what=out.what, text=out.text, compiled=True)

    def _ends(self, out: Outcome) -> Outcome:
        self.case = None
        return out

    def overdue(self) -> Outcome | None:
        if self.case is None or time.monotonic() - self.since < SILENT:
            return None
        self.busy.kill()
        return self._ends(_lost(self.case, f"no answer for {SILENT} s", "silent"))

    def stop(self) -> None:
        self.first.stop()
        self.compiling.stop()


def _lost(case: Case, text: str, what: str) -> Outcome:
    return Outcome(case.seed, FAILED, what, text, source=case.source, sizes=case.sizes)


class Pool:
    """Workers side by side."""

    def __init__(self, device: str, batches: int, jobs: int, compiled: int = 0) -> None:
        self.workers = [Worker(device, batches, compiled) for _ in range(jobs)]

    def one(self, case: Case) -> Outcome:
        """What becomes of ``case``, alone."""
        return next(self.every([case]))

    def every(self, cases: Iterable[Case]) -> Iterator[Outcome]:
        """The outcomes of all cases, as they come."""
        waiting = iter(cases)
        more = True
        while True:
            for worker in self.workers:
                if more and worker.case is None:
                    case = next(waiting, None)
                    more = case is not None
                    if case is not None:
                        worker.give(case)
            busy = [w for w in self.workers if w.case is not None]
            if not busy:
                return
            ready = wait([w.link for w in busy], timeout=5)
            for worker in busy:
                found = worker.answer() if worker.link in ready else worker.overdue()
                if found is not None:
                    yield found

    def close(self) -> None:
        for worker in self.workers:
            worker.stop()


def same_failure(a: Outcome, b: Outcome) -> bool:
    """Whether two plans fail in the same way, as far as can be told without a person."""
    told = replace(a, text="").what, replace(b, text="").what
    return a.state == b.state == FAILED and told[0] == told[1] and _words(a.text) == _words(b.text)


def _words(text: str) -> str:
    """The sentence of an error without names and numbers."""
    kept = "".join(c if c.isalpha() else " " for c in text.partition(":")[0])
    return " ".join(kept.split()) if "Error" in kept else ""
