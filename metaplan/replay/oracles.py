"""Where the oracles are: ``metaplan.oracles`` in a wheel, ``tests/oracles`` beside a checkout."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType

from metaplan import assets

NAME = "metaplan.oracles"


def oracles() -> ModuleType:
    """The package of oracles; it is loaded at the first call."""
    if NAME in sys.modules:
        return sys.modules[NAME]
    if find_spec(NAME) is not None:
        return import_module(NAME)
    folder = assets.folder("oracles")
    spec = spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


def buffers() -> ModuleType:
    """The module that allocates each plan's buffers at full capacity."""
    oracles()
    return import_module(f"{NAME}.buffers")
