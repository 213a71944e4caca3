"""A cache entry appears whole, once, whoever asks and however often."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from metaplan.cache import Cache, MissingKernel, Stats, key, write_whole


def test_made_once_then_found(tmp_path: Path) -> None:
    cache, calls = Cache(tmp_path), []

    def make() -> dict[str, str]:
        calls.append(1)
        return {"kernel.py": "x = 1\n", "texts/plan.txt": "p"}

    name = key("plan", b"template")
    first, second = cache.folder(name, make), cache.folder(name, make)
    assert first == second
    assert (first / "texts/plan.txt").read_text() == "p"
    assert len(calls) == 1
    assert cache.stats() == Stats(entries=1, bytes=7)
    assert cache.clear() == Stats(entries=1, bytes=7)
    assert cache.stats() == Stats(entries=0, bytes=0)


def test_many_at_once_make_it_once(tmp_path: Path) -> None:
    cache, calls, gate = Cache(tmp_path), [], threading.Barrier(8)

    def make() -> dict[str, str]:
        calls.append(1)
        return {"kernel.py": "y"}

    def ask() -> None:
        gate.wait()
        assert (cache.folder(key("k"), make) / "kernel.py").read_text() == "y"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def make() -> dict[str, str]:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        cache.folder(key("k"), make)
    assert cache.stats() == Stats(0, 0)
    assert (cache.folder(key("k"), lambda: {"a": "b"}) / "a").read_text() == "b"


def test_a_frozen_cache_names_what_it_lacks(tmp_path: Path) -> None:
    name = key("k")
    with pytest.raises(MissingKernel) as caught:
        Cache(tmp_path, frozen=True).folder(name, dict)
    assert str(caught.value) == (
        f"METAPLAN_DISABLE_JIT is set and {tmp_path} has no kernel {name}\n"
        "  hint: compile it once with the variable unset, or ship that folder"
    )


def test_key_depends_on_every_part_and_where_it_ends() -> None:
    assert key("ab", "c") != key("a", "bc")
    assert key("a", "b") != key("b", "a")
    assert key("a") == key(b"a")


def test_write_whole_replaces_or_leaves(tmp_path: Path) -> None:
    place = tmp_path / "kernel.py"
    write_whole(place, "one")
    write_whole(place, "two")
    assert place.read_text() == "two"
    with pytest.raises(UnicodeEncodeError):
        write_whole(place, "\ud800")
    assert place.read_text() == "two"
    assert list(tmp_path.iterdir()) == [place]
