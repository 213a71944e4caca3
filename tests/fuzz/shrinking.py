"""A smaller plan that fails in the same way: outputs, lines and inputs dropped, expressions replaced by their parts."""

from __future__ import annotations

import ast
import copy
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.fuzz.plans import Case

Fails = Callable[[Case], bool]
PROMISES = {"bisect", "patch", "opaque"}
"""Words whose arguments promise something: they are kept whole, or dropped."""


def smallest(case: Case, fails: Fails, seconds: float = 60) -> Case:
    """``case`` as small as greedy steps make it within ``seconds``, still failing."""
    end = time.monotonic() + seconds
    changed = True
    while changed and time.monotonic() < end:
        changed = False
        for source in _smaller(case.source):
            made = _with(case, source)
            if time.monotonic() > end:
                break
            if len(made.source) < len(case.source) and fails(made):
                case, changed = made, True
                break
    return case


def _with(case: Case, source: str) -> Case:
    """``case`` with another text, and only the sizes that this still names."""
    words = set(re.findall(r"\w+", source))
    sizes = {n: s for n, s in case.sizes.items() if n in words}
    return replace(case, source=source, sizes=sizes)


def _plan(tree: ast.Module) -> ast.FunctionDef:
    """The last function: kernels of the user's own stand before it."""
    return [n for n in tree.body if isinstance(n, ast.FunctionDef)][-1]


def _returned(plan: ast.FunctionDef) -> ast.Call:
    last = plan.body[-1]
    assert isinstance(last, ast.Return)
    assert isinstance(last.value, ast.Call)
    return last.value


def _smaller(source: str) -> Iterator[str]:
    """Smaller texts, the boldest first."""
    tree = ast.parse(source)
    outputs = len(_returned(_plan(tree)).keywords)
    if outputs > 1:
        for at in range(outputs):
            made = copy.deepcopy(tree)
            _returned(_plan(made)).keywords = [_returned(_plan(made)).keywords[at]]
            yield _tidied(made)
        for at in range(outputs):
            made = copy.deepcopy(tree)
            del _returned(_plan(made)).keywords[at]
            yield _tidied(made)
    yield from _replaced(tree)


def _tidied(tree: ast.Module) -> str:
    """The text without the lines and parameters that nothing mentions."""
    plan = _plan(tree)
    while True:
        used = {n.id for s in plan.body for n in ast.walk(s)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}  # fmt: skip
        used |= {n.value for a in plan.args.args if a.annotation for n in ast.walk(a.annotation)
                 if isinstance(n, ast.Constant) and isinstance(n.value, str)}  # fmt: skip
        body = [s for s in plan.body if not isinstance(s, ast.Assign) or s.targets[0].id in used]  # pyright: ignore
        args = [a for a in plan.args.args if a.arg in used]
        if (len(body), len(args)) == (len(plan.body), len(plan.args.args)):
            return ast.unparse(tree) + "\n"
        plan.body, plan.args.args = body, args


def _replaced(tree: ast.Module) -> Iterator[str]:
    """Each expression by one of its own parts, by a number, or by the value of a name."""
    for at, node in enumerate(_expressions(tree)):
        for number, _ in enumerate(_instead(node, tree)):
            made = copy.deepcopy(tree)
            target = _expressions(made)[at]
            _put(made, target, _instead(target, made)[number])
            yield _tidied(made)


def _expressions(tree: ast.Module) -> list[ast.expr]:
    """All expressions of the plan's body in one order, without those that a promise is made of."""
    found: list[ast.expr] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Call) and _promises(node):
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and not _assigned(child):
                found.append(child)
            visit(child)

    for statement in _plan(tree).body:
        visit(statement)
    return found


def _promises(call: ast.Call) -> bool:
    word = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    combines = [k.value for k in call.keywords if k.arg == "combine"]
    return word in PROMISES or any(
        isinstance(c, ast.Constant) and c.value == "distinct" for c in combines
    )


def _instead(node: ast.expr, tree: ast.Module) -> list[ast.expr]:
    parts: list[ast.expr] = []
    match node:
        case ast.Call():
            parts = [*node.args, *(k.value for k in node.keywords)]
            for k in range(len(node.keywords)):
                less = copy.deepcopy(node)
                del less.keywords[k]
                parts.append(less)
        case ast.BinOp():
            parts = [node.left, node.right]
        case ast.UnaryOp():
            parts = [node.operand]
        case ast.Compare():
            parts = [node.left, *node.comparators]
        case ast.Subscript():
            parts = [node.slice] if not isinstance(node.slice, ast.Tuple) else [*node.slice.elts]
        case ast.Name(id) if isinstance(node.ctx, ast.Load) and id.startswith("v_"):
            parts = [
                s.value
                for s in _plan(tree).body
                if isinstance(s, ast.Assign) and s.targets[0].id == id
            ]  # pyright: ignore
        case _:
            pass
    numbers = [] if isinstance(node, ast.Constant) else [ast.Constant(0), ast.Constant(1)]
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) > 1:
        numbers = [ast.Constant(node.value // 2)]
    return [*numbers, *copy.deepcopy(parts)]


def _put(tree: ast.Module, old: ast.expr, new: ast.expr) -> None:
    class Swap(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else super().visit(node)

    Swap().visit(tree)


def _assigned(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
