"""The order of the modules: a module imports from its own line or from lines above it, never from below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "metaplan"

# A name is a module or a whole subpackage. One line is one layer; modules of a line may know each other.
LAYERS = (
    ("version", "assets", "errors", "exact"),
    ("config", "catalogue", "machine", "naming"),
    ("nodes",),
    ("terms",),
    ("walking",),
    ("ir",),
    ("copies", "elements", "text", "linear", "sums", "ranges", "races", "looking"),
    ("points", "promises", "interp_shared", "interp", "interp_rows", "verify", "phases"),
    ("passes",),
    ("lang",),
    ("target", "program"),
    ("writes", "works", "limits", "choices", "tallies", "stored", "warps", "schedule"),
    ("unrolling", "reach"),
    ("lower", "codegen", "explain"),
    ("compiler", "export"),
    ("cache", "debugging"),
    ("runtime",),
    ("auditing",),
    ("plans", "adapters", "assembly"),
    ("loop",),
    ("picture",),
    ("replay", "reference", "rendering"),
    ("checking",),
    ("demo", "doctor"),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# The public face of the package: it gathers names from any layer, so imports of it inside the package
# are allowed only where a module is written as a user would write it.
FACE = "__init__"
USERS = ("plans", "adapters", "replay", "demo", "checking")

# Upward imports that are deliberate: inside a function, to break a knot that a user never sees.
LATE = {("lang", "runtime")}


def modules() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def layer(path: Path) -> str:
    """The name in LAYERS that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every import of our own as (first name below metaplan, line); the package itself is FACE."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                for name in names:
                    if name.name.split(".")[0] == "metaplan":
                        yield (*name.name.split("."), FACE)[1], node.lineno
            case ast.ImportFrom("metaplan", names, 0):
                for name in names:
                    yield (name.name if name.name in RANK else FACE), node.lineno
            case ast.ImportFrom(str(module), _, 0) if module.startswith("metaplan."):
                yield module.split(".")[1], node.lineno
            case _:
                pass


def only_for_types(tree: ast.Module) -> set[int]:
    """Lines below ``if TYPE_CHECKING``: imported by the type checker, not by Python."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def inside_functions(tree: ast.Module) -> set[int]:
    """Lines that run only when a function is called."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
