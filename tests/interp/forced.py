"""One plan under other schedules, each program that they make once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from differential import Compiled
from schedules import CHANGES, forced


def under_each(
    sound: Compiled, check: Callable[[Compiled], None], names: Iterable[str] = tuple(CHANGES)
) -> None:
    """``check`` of ``sound`` with each schedule of these that makes another program; what it raises says which."""
    seen = {sound.built.source}
    for name in names:
        built = forced(sound.built, CHANGES[name])
        if built.source in seen:
            continue
        seen.add(built.source)
        try:
            check(Compiled.of(built))
        except Exception as error:
            error.add_note(f"its schedule was forced to {name}")
            raise
