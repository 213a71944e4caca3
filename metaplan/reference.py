"""From what a person types, a plan and its capacities."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from metaplan.errors import MetaplanError
from metaplan.exact import Exact
from metaplan.lang.plan import Plan
from metaplan.plans import Shipped, shipped


class UnknownName(MetaplanError):
    """Nothing goes by this name."""


def find(text: str, sizes: Iterable[str] = ()) -> Shipped:
    """The plan called ``text``: a shipped name, ``path/file.py:name`` or ``module:name``.

    ``sizes`` are capacities such as ``req=1024``; they replace a shipped plan's own.
    """
    given = capacities(sizes)
    known = shipped()
    if text in known:
        found = known[text]
        return Shipped(found.name, found.declare, {**found.sizes, **given})
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        raise UnknownName(f"no plan is called {text}", hint=_close(text, known))
    plan = _attribute(_module(where), where, name)
    return Shipped(name, lambda: plan, given)


def mentioning(words: Iterable[str]) -> list[Shipped]:
    """The shipped plans whose name, function or family mentions all of ``words``."""
    wanted = [word.lower() for word in words]
    found: list[Shipped] = []
    for one in shipped().values():
        told = f"{one.name} {one.family} {one.about}".lower()
        if all(word in told for word in wanted):
            found.append(one)
    if not found:
        raise UnknownName(
            f"no shipped plan mentions {' and '.join(words)}",
            hint="metaplan list without words lists them all",
        )
    return found


def _close(text: str, known: Iterable[str]) -> str:
    """What to write instead of ``text``: names that look like it, and where all names are."""
    names = list(known)
    close = get_close_matches(text, names, cutoff=0.7)
    close += [name for name in names if text in name and name not in close]
    likely = f"perhaps {' or '.join(close[:3])}; " if close else ""
    return (
        f"{likely}metaplan list has the {len(names)} shipped plans,"
        " and one of your own is path/file.py:name or module:name"
    )


def capacities(sizes: Iterable[str]) -> dict[str, int]:
    """Capacities by axis, from texts such as ``req=1024``; ``req==1024`` is exactly that many at every step."""
    return dict(_size(size) for size in sizes)


def spelled(sizes: Mapping[str, int]) -> list[str]:
    """The texts that ``capacities`` reads."""
    return [f"{n}={'=' * isinstance(size, Exact)}{int(size)}" for n, size in sizes.items()]


def _size(text: str) -> tuple[str, int]:
    axis, _, count = text.partition("=")
    exact, count = count.startswith("="), count.removeprefix("=")
    if not axis.isidentifier() or not count.isdecimal() or int(count) == 0:
        raise UnknownName(
            f"--size {text} is no capacity", hint="write the axis and a count, such as req=1024"
        )
    return axis, Exact(count) if exact else int(count)


def _module(where: str) -> ModuleType:
    if not where.endswith(".py"):
        if _spec(where) is None:
            raise UnknownName(
                f"there is no module {where} to import",
                hint="install it, or write the file: path/file.py:name",
            )
        return importlib.import_module(where)
    path = Path(where)
    if not path.is_file():
        raise UnknownName(f"there is no file {where}", hint="write the path from this folder")
    name = f"metaplan_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _spec(where: str) -> object | None:
    try:
        return importlib.util.find_spec(where)
    except ModuleNotFoundError:
        return None


def _attribute(module: ModuleType, where: str, name: str) -> Plan:
    found = vars(module).get(name)
    if not isinstance(found, Plan):
        plans = ", ".join(n for n, v in vars(module).items() if isinstance(v, Plan))
        raise UnknownName(
            f"{where} has no plan called {name}",
            hint=f"it has {plans}" if plans else "decorate a function with @metaplan.plan",
        )
    return found
