"""Five variables, their defaults, and the words for a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaplan.config import Config, ConfigError, load


def test_defaults() -> None:
    cache = Path.home() / ".cache/metaplan"
    assert load({}) == Config(cache, debug=0, dump=None, disable_jit=False, interpret=False)


def test_all_five() -> None:
    found = load(
        {
            "METAPLAN_CACHE_DIR": "/c",
            "METAPLAN_DEBUG": "3",
            "METAPLAN_DUMP": "/d",
            "METAPLAN_DISABLE_JIT": "1",
            "METAPLAN_INTERPRET": "true",
        }
    )
    assert found == Config(Path("/c"), debug=3, dump=Path("/d"), disable_jit=True, interpret=True)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "METAPLAN_DEBUG",
            "9",
            "METAPLAN_DEBUG=9 is no level\n  hint: write 0 (silent) to 4 (everything, PTX included)",
        ),
        (
            "METAPLAN_INTERPRET",
            "maybe",
            "METAPLAN_INTERPRET=maybe is no switch\n"
            "  hint: write METAPLAN_INTERPRET=1, or leave it unset",
        ),
    ],
)
def test_a_wrong_value_says_what_to_write(name: str, value: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({name: value})
    assert str(caught.value) == text
