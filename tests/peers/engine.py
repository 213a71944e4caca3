# pyright: basic
"""An engine's own source files, run unmodified with torch and triton only.

A file named in ``real`` is executed from the unpacked wheel. Whatever else it imports, from the engine
or from a library that is not installed, is answered by stand-ins: names that can be subclassed,
called as decorators and subscripted, and that do nothing. What a stand-in must do is given in ``known``.
Nothing of the engine enters ``sys.modules`` under its own name.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VERSIONS = {"vllm": "0.33.0", "sglang": "0.5.23"}


class _StandIn(type):
    """The class of all stand-ins: every attribute of one is another one."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        made = stand_in(f"{cls.__name__}.{name}")
        setattr(cls, name, made)
        return made

    def __call__(cls, *given: Any, **named: Any) -> Any:
        decorated = len(given) == 1 and not named and callable(given[0])
        if decorated and not isinstance(given[0], _StandIn):
            return given[0]
        if "__stands_in__" in cls.__dict__:
            return stand_in(f"{cls.__name__}()")
        return super().__call__(*given, **named)

    def __getitem__(cls, _: Any) -> Any:
        return cls

    def __or__(cls, _: Any) -> Any:
        return cls

    __ror__ = __or__

    def __iter__(cls) -> Any:
        return iter(())


def stand_in(name: str) -> Any:
    """A name that an engine's file needs to exist and that no call of ours uses."""
    return _StandIn(
        name, (), {"__stands_in__": True, "__class_getitem__": classmethod(lambda c, _: c)}
    )


class _Module(types.ModuleType):
    """A module of the engine that is not executed."""

    def __init__(self, name: str, engine: Engine) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        inside = f"{self.__name__}.{name}"
        made = self._engine.find(inside) if self._engine.has(inside) else stand_in(inside)
        setattr(self, name, made)
        return made


class Engine:
    """The files of one engine.

    Args:
        name: the top package, "vllm" or "sglang".
        real: files to execute, relative to the package, such as "v1/attention/backends/utils.py".
        known: by dotted module name, what its stand-in must have; a library's name is allowed too.
        folder: where the package lies; the installed or unpacked one that Python finds if not given.
    """

    def __init__(
        self,
        name: str,
        real: tuple[str, ...],
        known: Mapping[str, Mapping[str, Any]],
        folder: Path | None = None,
    ) -> None:
        self.name, self.known = name, known
        self.folder = folder or find_folder(name)
        self.real = {self._dotted(path): self.folder / path for path in real}
        self._modules: dict[str, types.ModuleType] = {}

    def _dotted(self, path: str) -> str:
        return f"{self.name}.{path.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"

    def module(self, path: str) -> Any:
        """The executed file ``path``; it must be among ``real``."""
        assert self._dotted(path) in self.real, f"{path} is not among the files to execute"
        return self.find(self._dotted(path))

    def has(self, dotted: str) -> bool:
        """Whether ``dotted`` is a module that is executed, or lies above one."""
        return (
            any(r == dotted or r.startswith(dotted + ".") for r in self.real)
            or dotted in self.known
        )

    def find(self, dotted: str) -> types.ModuleType:
        if dotted not in self._modules:
            if dotted in self.real:
                self._execute(dotted, self.real[dotted])
            else:
                made = _Module(dotted, self)
                for name, value in self.known.get(dotted, {}).items():
                    setattr(made, name, value)
                self._modules[dotted] = made
        return self._modules[dotted]

    def _execute(self, dotted: str, path: Path) -> None:
        module = types.ModuleType(f"metaplan_peer.{dotted}")
        module.__file__ = str(path)
        module.__package__ = dotted.rpartition(".")[0]
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        sys.modules[module.__name__] = module  # dataclasses and triton look it up
        self._modules[dotted] = module
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)

    def _import(
        self,
        name: str,
        globals_: Any = None,
        locals_: Any = None,
        fromlist: Any = (),
        level: int = 0,
    ) -> Any:
        if level:
            package = (globals_ or {}).get("__package__", "").split(".")
            above = ".".join(package[: len(package) - level + 1])
            name = f"{above}.{name}" if name else above
        top = name.partition(".")[0]
        if top == self.name or top in self.known or not _installed(top):
            found = self.find(name)
            return found if fromlist else self.find(top)
        return __import__(name, globals_, locals_, fromlist, 0)


def _installed(top: str) -> bool:
    if top in sys.modules:
        return True
    return importlib.util.find_spec(top) is not None


def find_folder(name: str) -> Path:
    """The folder of the package ``name``; FileNotFoundError says what to install."""
    spec = importlib.util.find_spec(name)
    for place in list(spec.submodule_search_locations or []) if spec else []:
        return Path(place)
    version = VERSIONS[name]
    raise FileNotFoundError(
        f"no sources of {name} here: python tests/peers/fetch.py {name}=={version}, and put"
        f" .engines/{name}-{version} on PYTHONPATH"
    )
