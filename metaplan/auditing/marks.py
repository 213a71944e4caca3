"""Where the steps of a program begin and end, said by the program itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

_listeners: list[Callable[[], None]] = []


def audit_step() -> None:
    """Ends a step and begins the next for whoever audits this program; nothing where nobody does.

    What lies between two marks is a step. What lies before the first mark and behind the last is none.
    """
    for listener in tuple(_listeners):
        listener()


@contextmanager
def listening(listener: Callable[[], None]) -> Generator[None]:
    """Calls ``listener`` at each mark in the region."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
