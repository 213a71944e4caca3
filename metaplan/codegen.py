"""Program -> Triton source text. Decides nothing: it writes down what the program already says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from functools import cache

import jinja2

from metaplan.assets import folder
from metaplan.program import (
    Atomic,
    Barrier,
    Count,
    CountAll,
    If,
    Let,
    Loop,
    Program,
    Remark,
    Stmt,
    Store,
)

_INDENT = "    "
_WIDTH = 100


def lines(body: tuple[Stmt, ...], depth: int) -> list[str]:
    """The statements of a body as source lines."""
    pad = _INDENT * depth
    out: list[str] = []
    for stmt in body:
        match stmt:
            case Let(name, value, note):
                if note:
                    out.append(f"{pad}# {note}")
                out.append(f"{pad}{name} = {value}")
            case Store(pointer, value, mask, note):
                if note:
                    out.append(f"{pad}# {note}")
                where = f", mask={mask}" if mask else ""
                out.append(f"{pad}tl.store({pointer}, {value}{where})")
            case Atomic(how, pointer, value, mask, note):
                if note:
                    out.append(f"{pad}# {note}")
                where = f", mask={mask}" if mask else ""
                out.append(f'{pad}tl.atomic_{how}({pointer}, {value}{where}, sem="relaxed")')
            case Count(pointer, mask, note):
                if note:
                    out.append(f"{pad}# {note}")
                out.append(f"{pad}count({pointer}, {mask})")
            case CountAll(pointer, times):
                out.append(f"{pad}count_all({pointer}, {times})")
            case Barrier():
                out.append(f"{pad}tl.debug_barrier()")
            case Remark(text):
                out.append(f"{pad}# {text}")
            case Loop(name, start, stop, step, inner, unroll):
                turns = f"{start}, {stop}, {step}"
                turns = (
                    f"tl.range({turns}, loop_unroll_factor={unroll})"
                    if unroll > 1
                    else f"range({turns})"
                )
                out.append(f"{pad}for {name} in {turns}:")
                out.extend(lines(inner, depth + 1))
            case If(cond, inner):
                out.append(f"{pad}if {cond}:")
                out.extend(lines(inner, depth + 1))
    return out


@cache
def environment() -> jinja2.Environment:
    """The templates, each parsed once."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def wrapped(head: str, words: Sequence[str], tail: str, depth: int) -> str:
    """``head`` with the words and ``tail``, on one line or indented below."""
    pad = _INDENT * depth
    line = f"{pad}{head}{', '.join(words)}{tail}"
    if len(line) <= _WIDTH:
        return line
    inner = pad + _INDENT
    text = textwrap.fill(
        ", ".join(words) + ",",
        _WIDTH,
        initial_indent=inner,
        subsequent_indent=inner,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{pad}{head}\n{text}\n{pad}{tail}"


def render(program: Program, *, with_torch: bool = False) -> str:
    """The module's text: its helpers, a function for each region, and the kernels."""
    template = environment().get_template("kernel.py.jinja")
    return template.render(
        program=program, lines=lines, wrapped=wrapped, with_torch=with_torch, text=_texts
    )


def _texts(names: Iterable[str]) -> list[str]:
    return [f'"{name}"' for name in names]


def listing(program: Program) -> str:
    """The program as lines to read, without Triton around it."""
    out: list[str] = []
    for kernel in program.kernels:
        out.append(f"kernel {kernel.name}: {kernel.grid} programs of {kernel.num_warps} warps")
        for region in kernel.regions:
            out.append(f"  {region.name}: {region.programs} programs. {region.title}")
            out.extend(lines(region.body, 2))
    return "\n".join(out) + "\n"
