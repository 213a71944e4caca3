"""A drawn plan as a user's file: declared, and whether what it is told is what a user can use."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from metaplan import catalogue
from metaplan.errors import MetaplanError, PlanError
from metaplan.lang.plan import Plan

FILE = "fuzz_plan.py"


@contextmanager
def user_file(source: str) -> Iterator[str]:
    """``source`` as the text of a file that errors can show."""
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    try:
        yield FILE
    finally:
        linecache.cache.pop(FILE, None)


def declared(source: str) -> Plan:
    """The plan of ``source``, which is run as a file."""
    names: dict[str, Any] = {"__name__": "fuzz_plan"}
    exec(compile(source, FILE, "exec"), names)
    made = names["plan"]
    assert isinstance(made, Plan)
    return made


def users_own(error: BaseException) -> bool:
    """Whether Python itself refused a line of the user: a word without its arguments, say."""
    if isinstance(error, SyntaxError):
        return error.filename == FILE
    return traceback.extract_tb(error.__traceback__)[-1].filename == FILE


def usable(error: MetaplanError) -> str:
    """What is missing from an error that a user gets; empty where nothing is."""
    if not error.hint:
        return "no hint"
    if isinstance(error, PlanError) and (error.loc.file != FILE or not error.loc.text()):
        return f"no line of the user's: {error.loc}"
    return ""


def entries() -> None:
    """Errors of the catalogue know from now on which entry made them."""
    for name in catalogue.__all__:
        own = getattr(catalogue, name)
        if isinstance(own, FunctionType) and not hasattr(own, "entry_of"):
            setattr(catalogue, name, _named(name, own))


def _named(name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    def made(*given: Any, **named: Any) -> Any:
        error = own(*given, **named)
        error.entry = name
        return error

    made.entry_of = name  # pyright: ignore[reportFunctionMemberAccess]
    return made


def entry(error: MetaplanError) -> str:
    return getattr(error, "entry", type(error).__name__)
