"""A self-contained kernel file: what a fork vendors, needing torch and triton only."""

from __future__ import annotations

from dataclasses import dataclass

from metaplan import codegen
from metaplan.compiler import Built
from metaplan.program import Param, Role


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of the launcher: a tensor, as the docstring describes it."""

    name: str
    note: str


def self_contained(built: Built) -> str:
    """The kernels of ``built`` with an allocator and a launcher, as one module's text."""
    program = built.program
    template = codegen.environment().get_template("export.py.jinja")
    return template.render(
        program=program,
        source=codegen.render(program, with_torch=True),
        target=built.target.name,
        capacities=", ".join(f"{n} = {built.bound.size(n)}" for n in _axes(built)),
        taken=_arguments(built, (Role.INPUT, Role.LIVE)),
        lists=[i.name for i in built.bound.inputs if i.each],
        filled=_arguments(built, (Role.OUTPUT, Role.FLAGS, Role.WORKSPACE)),
        calls=[(k, [_actual(p) for p in k.params]) for k in program.kernels],
    )


def _axes(built: Built) -> list[str]:
    return [a.name for a in built.bound.axes]


def _arguments(built: Built, roles: tuple[Role, ...]) -> list[Argument]:
    found: dict[str, Argument] = {}
    for kernel in built.program.kernels:
        for p in kernel.params:
            if p.role in roles:
                found.setdefault(p.of, Argument(p.of, p.note))
    return list(found.values())


def _actual(p: Param) -> str:
    return f"{p.of}.stride({p.dim})" if p.role is Role.STRIDE else p.of
