"""Where the parts of a plan's function stand in its source: parameters, outputs, the return."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from metaplan.errors import Loc


@lru_cache(maxsize=16)
def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def _function(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The definition of ``function``; None for a lambda, or where there is no source."""
    code = function.__code__
    tree = _tree("".join(linecache.getlines(code.co_filename)))
    if tree is None:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


def _loc(function: Callable[..., Any], node: ast.expr | ast.stmt | ast.arg | ast.keyword) -> Loc:
    return Loc(
        function.__code__.co_filename,
        node.lineno,
        node.end_lineno or node.lineno,
        node.col_offset,
        node.end_col_offset or node.col_offset + 1,
    )


def declaration(function: Callable[..., Any]) -> Loc:
    """The name in ``def name(...)``."""
    code = function.__code__
    found = _function(function)
    if found is None:
        return Loc(code.co_filename, code.co_firstlineno)
    first = found.col_offset + len("def ")
    return Loc(code.co_filename, found.lineno, found.lineno, first, first + len(found.name))


def parameter(function: Callable[..., Any], name: str) -> Loc:
    """The parameter called ``name``, with its annotation."""
    found = _function(function)
    if found is not None:
        for node in ast.walk(found.args):
            if isinstance(node, ast.arg) and node.arg == name:
                return _loc(function, node)
    return declaration(function)


def returned(function: Callable[..., Any]) -> Loc:
    """What the function returns last; its declaration where it returns nothing."""
    found = _function(function)
    if found is not None:
        for node in reversed(found.body):
            if isinstance(node, ast.Return) and node.value is not None:
                return _loc(function, node.value)
    return declaration(function)


def output(function: Callable[..., Any], name: object) -> Loc:
    """The value that the returned dict has for ``name``; the return itself where it is made elsewhere."""
    found = _function(function)
    for node in ast.walk(found) if found is not None else ():
        match node:
            case ast.keyword(arg=str(key), value=value) if key == name:
                return _loc(function, value)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == name:
                        return _loc(function, value)
            case ast.Assign(
                targets=[ast.Subscript(slice=ast.Constant(value=key))], value=value
            ) if key == name:
                return _loc(function, value)
            case _:
                pass
    return returned(function)
