"""Who gives pages to rows: the host, which knows them by number, or the device, of which the host knows how many."""

from __future__ import annotations

from typing import Protocol

from metaplan.loop.changes import Changes
from metaplan.loop.request import Request


class Paging(Protocol):
    """The pages of a loop, as far as its host has to know them."""

    pages: int

    @property
    def free(self) -> int:
        """Pages that nobody has; where the device gives them, those that nobody was promised."""
        ...

    @property
    def spare(self) -> int:
        """Pages that may be promised to a request."""
        ...

    def fits(self, first: int, whole: int) -> bool:
        """Whether a request may enter that needs ``first`` pages for its first step and ``whole`` at its end."""
        ...

    def request(self, key: object, row: int, length: int, limit: int) -> Request:
        """A request of these pages, not in its row yet."""
        ...

    def enter(self, request: Request, first: int, changes: Changes) -> None:
        """The request is in its row."""
        ...

    def reserve(self, changes: Changes) -> None:
        """Every live row has pages for the step that follows, or will have.

        Raises:
            CallError: with ``overcommit``, the pages are not there.
        """
        ...

    def leave(self, request: Request, launched: int, changes: Changes) -> None:
        """The request is over, as far as the host knows; so many steps have been launched."""
        ...

    def passed(self, read: int) -> None:
        """The results of the first ``read`` steps have been read."""
        ...
