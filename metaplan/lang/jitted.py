"""The text of a user's own kernel, so that a generated file holds all that it runs."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections.abc import Iterator
from types import FunctionType

from metaplan import catalogue
from metaplan.errors import Loc
from metaplan.lang import demands
from metaplan.lang.values import described

MODULES = {"tl": "triton.language", "triton": "triton"}
"""What a generated file imports, by the name that it has there."""
RESERVED = demands.KERNEL | {
    *("torch", "allocate", "launch", "count", "count_all", "floor_div", "floor_mod"),
}


def jitted(function: object, loc: Loc) -> tuple[FunctionType, tuple[tuple[str, str], ...]]:
    """The function behind ``@triton.jit``, and the texts of all that it calls, by name, it last."""
    own = _function(function, loc)
    texts: dict[str, str] = {}
    _collect(own, texts, [], loc)
    return own, tuple(texts.items())


def _function(given: object, loc: Loc) -> FunctionType:
    inner = getattr(given, "fn", given)
    if not isinstance(inner, FunctionType) or inner.__name__ == "<lambda>":
        raise catalogue.opaque_function(described(given), loc)
    return inner


def _collect(function: FunctionType, texts: dict[str, str], above: list[str], loc: Loc) -> None:
    name = demands.name("kernel", function.__name__, loc, RESERVED)
    made, node = _text(function, loc)
    for used in _free(node):
        value = _value(function, used)
        if used in MODULES:
            if getattr(value, "__name__", None) != MODULES[used]:
                raise catalogue.opaque_global(name, used, described(value), loc)
            continue
        inner = getattr(value, "fn", None)
        if not isinstance(inner, FunctionType) or inner.__name__ != used:
            raise catalogue.opaque_global(name, used, described(value), loc)
        if used != name and used not in above:
            _collect(inner, texts, [*above, name], loc)
    if texts.setdefault(name, made) != made:
        raise catalogue.duplicate_name("kernel", name, loc)


def _text(function: FunctionType, loc: Loc) -> tuple[str, ast.FunctionDef]:
    """``function`` without its decorators, and as a tree."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as wrong:
        raise catalogue.opaque_source(function.__name__, loc) from wrong
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    return "\n".join(lines), node


def _free(node: ast.FunctionDef) -> Iterator[str]:
    """The names that a function takes from around it, but for Python's own."""
    inside = [*ast.walk(node.args), *(x for line in node.body for x in ast.walk(line))]
    names = [x for x in inside if isinstance(x, ast.Name)]
    bound = {x.id for x in names if not isinstance(x.ctx, ast.Load)}
    bound |= {x.arg for x in inside if isinstance(x, ast.arg)}
    for used in dict.fromkeys(x.id for x in names):
        if used not in bound and not hasattr(builtins, used):
            yield used


def _value(function: FunctionType, name: str) -> object:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    around = {free: cell.cell_contents for free, cell in cells}
    return around.get(name, function.__globals__.get(name))
