"""Where templates/, kernels/ and oracles/ are: inside the package in a wheel, beside it in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

BESIDE = {"templates": "templates", "kernels": "kernels", "oracles": "tests/oracles"}


def folder(name: str) -> Path:
    """The folder of the shipped data called ``name``: templates, kernels or oracles."""
    inside = Path(str(files("metaplan"))) / name
    beside = Path(__file__).parents[1] / BESIDE[name]
    for found in (inside, beside):
        if found.is_dir():
            return found
    raise FileNotFoundError(f"metaplan: no {name}/ in the package and no {BESIDE[name]}/ beside it")
