# pyright: basic
"""What was compared, cell by cell, on real traffic: a row for each replay and each sample in bench/results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
HEAD = ["compared with the oracle", "trace", "on", "steps", "mismatches"]
KINDS = ("replay", "sample")


def told(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results, replays first."""
    paths = [path for kind in KINDS for path in sorted(folder.glob(f"{kind}_*.json"))]
    return [json.loads(path.read_text()) for path in paths]


def rows(folder: Path = RESULTS) -> list[list[str]]:
    return [
        [_what(one), one["trace"].removesuffix(".csv"), _where(one), _steps(one), _wrong(one)]
        for one in told(folder)
    ]


def commands(folder: Path = RESULTS) -> list[str]:
    """How to run each again."""
    return [one["machine"]["command"] for one in told(folder)]


def _what(one: dict[str, Any]) -> str:
    if "frames" in one:
        return "plan and kernel of a sample, beside the loops"
    return "every buffer of every step"


def _where(one: dict[str, Any]) -> str:
    machine = one["machine"]
    device = machine["device"]["name"] if machine["device"] else "CPU"
    how = ", triton's interpreter" if "frames" in one else "" if machine["device"] else ", NumPy"
    versions = machine["versions"]
    return f"{device}{how}; torch {versions['torch']}, triton {versions['triton']}"


def _steps(one: dict[str, Any]) -> str:
    return f"{one['frames']} of {one['steps']:,}" if "frames" in one else f"{one['steps']:,}"


def _wrong(one: dict[str, Any]) -> str:
    return f"{one['mismatches']:,}"
