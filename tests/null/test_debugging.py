"""METAPLAN_DEBUG prints and METAPLAN_DUMP keeps what a compile did; neither does by default."""

from __future__ import annotations

import pytest

from metaplan.plans.decode_slots import decode_slots

SIZES = {"req": 8, "tok": 32, "page": 256}


def test_nothing_is_said_by_default(monkeypatch, capsys):
    monkeypatch.delenv("METAPLAN_DEBUG", raising=False)
    monkeypatch.delenv("METAPLAN_DUMP", raising=False)
    decode_slots.compile(device="cpu", **SIZES)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("level", "said", "unsaid"),
    [
        ("1", "metaplan: decode_slots for cuda:90", "@triton.jit"),
        ("2", "@triton.jit", "--- 00-bind"),
        ("3", "--- 04-simplify", "--- 05"),
    ],
)
def test_each_level_says_more(monkeypatch, capsys, level, said, unsaid):
    monkeypatch.setenv("METAPLAN_DEBUG", level)
    decode_slots.compile(device="cpu", **SIZES)
    err = capsys.readouterr().err
    assert said in err
    assert unsaid not in err


def test_a_dump_holds_every_stage(monkeypatch, tmp_path):
    monkeypatch.setenv("METAPLAN_DUMP", str(tmp_path))
    step = decode_slots.compile(device="cpu", **SIZES)
    folder = tmp_path / "decode_slots"
    names = {f.name for f in folder.iterdir()}
    passes = {"00-bind.txt", "01-lazy.txt", "02-check.txt", "03-place.txt", "04-simplify.txt"}
    assert names == passes | {"program.txt", "kernel.py", "explain.txt"}
    assert (folder / "kernel.py").read_text() == step.source
