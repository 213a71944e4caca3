"""METAPLAN_DEBUG and METAPLAN_DUMP: what a compile did, printed or kept in a folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from metaplan import cache, ir, text
from metaplan.config import Config
from metaplan.passes.pipeline import stages

if TYPE_CHECKING:
    from metaplan.compiler import Built


def report(plan: ir.Plan, sizes: Mapping[str, int], built: Built, settings: Config) -> None:
    """Prints and keeps what the settings ask for; nothing by default.

    Level 1 says that a plan was compiled, 2 adds the kernel's text, 3 the plan after each pass.
    """
    if settings.debug >= 1:
        _say(
            f"metaplan: {plan.name} for {built.target.name}: {built.program.kernels[-1].grid} programs"
        )
    if settings.debug >= 3:
        for name, content in _plans(plan, sizes, built.unrolled):
            _say(f"--- {name}\n{content}")
    if settings.debug >= 2:
        _say(built.source)
    if settings.dump is not None:
        folder = settings.dump / plan.name
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in _plans(plan, sizes, built.unrolled):
            cache.write_whole(folder / f"{name}.txt", content)
        cache.write_whole(folder / "program.txt", built.program_text)
        cache.write_whole(folder / "kernel.py", built.source)
        cache.write_whole(folder / "explain.txt", built.explain())


def binaries(texts: Mapping[str, str], name: str, settings: Config) -> None:
    """The same for what Triton made of a kernel: level 4 prints PTX or AMD assembly."""
    for kind in ("ptx", "amdgcn"):
        if kind in texts and settings.debug >= 4:
            _say(f"--- {name}.{kind}\n{texts[kind]}")
        if kind in texts and settings.dump is not None:
            cache.write_whole(_folder(settings.dump, name) / f"kernel.{kind}", texts[kind])


def _folder(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir(parents=True, exist_ok=True)
    return made


def _plans(
    plan: ir.Plan, sizes: Mapping[str, int], unrolled: tuple[ir.Which, ...]
) -> Iterator[tuple[str, str]]:
    for at, (name, made) in enumerate(stages(plan, sizes, unrolled)):
        yield f"{at:02d}-{name}", text.plan(made)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
