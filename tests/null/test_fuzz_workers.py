"""What the fuzzer says of a plan that is interpreted first and compiled behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.fuzz.outcomes import FAILED, FINE, REFUSED, Outcome
from tests.fuzz.plans import Case
from tests.fuzz.workers import Worker

pytestmark = pytest.mark.null


@dataclass
class Told:
    """A process that answers what it was told to, and keeps what it was given."""

    outcomes: Iterator[Outcome]
    given: list[int] = field(default_factory=list[int])

    def give(self, case: Case) -> None:
        self.given.append(case.seed)

    def answer(self, case: Case) -> Outcome:
        return next(self.outcomes)


def worker(every: int, first: Outcome, *compiled: Outcome) -> Worker:
    made = Worker("cpu", 5, every)
    made.first, made.compiling = Told(iter([first])), Told(iter(compiled))  # pyright: ignore
    return made


def answers(made: Worker, seed: int) -> list[Outcome]:
    made.give(Case(seed, "", {}))
    found: list[Outcome] = []
    while made.case is not None:
        out = made.answer()
        found += [out] if out is not None else []
    return found


RAN = Outcome(6, FINE, batches=5, cells=90)


def test_what_does_not_compile_fails_beside_what_was_compared() -> None:
    refused = Outcome(6, FAILED, "CompilationError in compiled.compiled", "at 23:8")
    (out,) = answers(worker(3, RAN, refused), 6)
    assert (out.state, out.what, out.text) == (FAILED, refused.what, refused.text)
    assert (out.batches, out.cells, out.compiled) == (5, 90, True)


def test_what_only_the_compiler_refuses_fails_too() -> None:
    (out,) = answers(worker(3, RAN, Outcome(6, REFUSED, "may_overflow", "no")), 6)
    assert (out.state, out.what, out.compiled) == (FAILED, "may_overflow", True)


def test_what_compiles_is_fine() -> None:
    (out,) = answers(worker(3, RAN, Outcome(6, FINE)), 6)
    assert (out.state, out.batches, out.compiled) == (FINE, 5, True)


@pytest.mark.parametrize(("every", "seed"), [(3, 7), (0, 6)])
def test_other_seeds_are_not_compiled(every: int, seed: int) -> None:
    made = worker(every, RAN)
    (out,) = answers(made, seed)
    assert not out.compiled
    assert made.compiling.given == []  # pyright: ignore


def test_what_was_refused_is_not_compiled() -> None:
    (out,) = answers(worker(1, Outcome(6, REFUSED, "collides")), 6)
    assert (out.state, out.compiled) == (REFUSED, False)
