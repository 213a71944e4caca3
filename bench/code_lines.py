"""Lines of code of functions: without blank lines, comments and docstrings; read from sources, nothing is imported."""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
SILENT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENCODING),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


@dataclass(frozen=True)
class Source:
    """A file, parsed; ``code`` are the numbers of its lines of code."""

    path: Path
    tree: ast.Module
    code: frozenset[int]

    def find(self, dotted: str) -> Definition | None:
        """The definition of ``Class.method`` or ``function``, wherever it is indented."""
        found: ast.AST | None = self.tree
        for name in dotted.split("."):
            within = found
            found = next(
                (
                    node
                    for node in ast.walk(within)
                    if isinstance(node, DEFINITIONS) and node.name == name and node is not within
                ),
                None,
            )
            if found is None:
                return None
        return found if isinstance(found, DEFINITIONS) else None

    def around(self, line: int) -> Definition | None:
        """The outermost definition that holds ``line``."""
        return next((node for node in self.top().values() if line in span(node)), None)

    def top(self) -> dict[str, Definition]:
        """What the module defines, by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, DEFINITIONS)}

    def lines(self, node: Definition) -> int:
        """Lines of code of a definition, decorators included."""
        return len(self.code & {*span(node)})


def span(node: Definition) -> range:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)


@lru_cache(maxsize=64)
def source(path: Path) -> Source:
    text = path.read_text()
    tree = ast.parse(text)
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            code.update(range(token.start[0], token.end[0] + 1))
    return Source(path, tree, frozenset(code - _docstrings(tree)))


def _docstrings(tree: ast.Module) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (*DEFINITIONS, ast.Module)) and ast.get_docstring(node, clean=False):
            first = node.body[0]
            found.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return found


def of_function(folder: Path, place: str) -> int | None:
    """Lines of ``path/in/folder.py:Class.method``; None where there is no such thing."""
    path, _, dotted = place.partition(":")
    if not (folder / path).is_file():
        return None
    file = source(folder / path)
    if not dotted:
        return len(file.code)
    node = file.find(dotted)
    return None if node is None else file.lines(node)


def of_plan(path: Path, line: int) -> dict[str, int]:
    """Lines of the function that declares a plan at ``line``, and of all beside it that it names, each by its place."""
    made: dict[str, int] = {}
    first = source(path).around(line)
    todo = [] if first is None else [(path, first)]
    while todo:
        at, node = todo.pop()
        place = f"{at.name}:{node.name}"
        if place in made:
            continue
        made[place] = source(at).lines(node)
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        todo += [(file, found) for name, (file, found) in _visible(at).items() if name in names]
    return made


def _visible(path: Path) -> dict[str, tuple[Path, Definition]]:
    """What the module at ``path`` defines or imports from modules beside it."""
    seen = {name: (path, node) for name, node in source(path).top().items()}
    for node in source(path).tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            beside = path.with_name(f"{node.module.rpartition('.')[2]}.py")
            if node.module.startswith("metaplan.plans.") and beside.is_file():
                top = source(beside).top()
                seen |= {
                    name.asname or name.name: (beside, top[name.name])
                    for name in node.names
                    if name.name in top
                }
    return seen
