"""Every mistake of a user is told in the words of the catalogue, with the line, the place and what to write.

The whole texts are in errors/; ``python tests/null/mistakes.py`` writes what is said today.
"""

from __future__ import annotations

import ast
import keyword
from pathlib import Path
from types import FunctionType

import pytest
from mistakes import FOLDER, Mistake, execute, mistakes, run

from metaplan import catalogue
from metaplan.errors import CallError, MetaplanError, PlanError
from metaplan.lang import demands
from metaplan.runtime.launch import address_of

pytestmark = pytest.mark.null

ALL = mistakes()
CALLS = ("calls", "loops")
"""Topics of mistakes that are made in a call: what was called names its argument, no line of a plan."""


@pytest.mark.parametrize("mistake", ALL, ids=lambda m: f"{m.topic}: {m.title}")
def test_message(mistake: Mistake) -> None:
    error = run(mistake.code)
    assert isinstance(error, MetaplanError), error
    assert str(error) == mistake.message


@pytest.mark.parametrize("mistake", ALL, ids=lambda m: f"{m.topic}: {m.title}")
def test_message_says_where_and_what_to_write(mistake: Mistake) -> None:
    lines = mistake.message.splitlines()
    assert lines[-1].startswith("  hint: ")
    if mistake.topic in CALLS:
        assert len(lines) == 2
        return
    _, place, source, carets, _ = lines
    number = int(place.removeprefix("  plan.py:"))
    assert source.strip() == mistake.code.splitlines()[number - 1].strip()
    assert set(carets.strip()) == {"^"}
    assert len(carets) <= len(source)


def test_titles_are_distinct() -> None:
    assert len({(m.topic, m.title) for m in ALL}) == len(ALL)
    assert len({m.message.splitlines()[0] for m in ALL}) >= 100


def test_the_golden_files_are_in_one_format() -> None:
    for path in FOLDER.glob("*.txt"):
        made = "\n".join(m.text for m in ALL if m.topic == path.stem)
        assert path.read_text() == made


BESIDE_THE_RUNTIME = {
    "too_far_ahead",  # null/test_runtime_staging.py
    "not_an_argument",  # below
    "audit_without_gpu",  # null/test_audit_regions.py
    "still_watching",  # null/test_audit_report.py
    "all_steps_skipped",  # null/test_audit_report.py
    "trace_without_gpu",  # null/test_audit_command.py
    "no_such_trace",  # null/test_audit_command.py
    "not_a_trace",  # null/test_audit_command.py
    "no_such_script",  # null/test_audit_command.py
    "unknown_finding",  # null/test_audit_command.py
    "called_in_capture",  # device/test_runtime.py
}
"""What no line of a user's plan or call raises by itself on a machine without a GPU."""


def test_what_a_kernel_does_not_take_is_named() -> None:
    with pytest.raises(MetaplanError, match="n is a str: a kernel takes tensors and integers") as e:
        address_of("n", "three", None)
    assert "hint: pass n as a tensor on the step's device" in str(e.value)


def test_every_entry_of_the_catalogue_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[str] = set()

    def noting(name: str, function: FunctionType):
        def made(*given, **named):
            reached.add(name)
            return function(*given, **named)

        return made

    for name in catalogue.__all__:
        monkeypatch.setattr(catalogue, name, noting(name, getattr(catalogue, name)))
    for mistake in ALL:
        run(mistake.code)
    assert set(catalogue.__all__) - reached == BESIDE_THE_RUNTIME


def test_every_error_is_in_the_catalogue() -> None:
    """Nobody else builds a PlanError, and nobody names an entry that is not there."""
    package = Path(catalogue.__file__).parents[1]
    for path in package.rglob("*.py"):
        if "catalogue" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="PlanError")):
                    pytest.fail(f"{path.name}:{node.lineno} builds a PlanError of its own")
                case ast.Attribute(value=ast.Name(id="catalogue"), attr=attr):
                    assert attr in catalogue.__all__, f"{path.name}:{node.lineno}: {attr}"
                case _:
                    pass


def test_errors_know_their_kind() -> None:
    kinds = {m.topic: type(run(m.code)) for m in ALL}
    assert {kinds.pop(topic) for topic in CALLS} == {CallError}
    assert set(kinds.values()) == {PlanError}


def test_a_rejected_call_touches_no_buffer() -> None:
    calls = [m for m in ALL if m.topic == "calls" and "\nstep(" in m.code]
    for mistake in calls:
        setup, _, call = mistake.code.rpartition("\nstep(")
        if "step.close()" in setup:
            continue
        names = execute(setup)
        buffer = names["step"].slot_mapping
        buffer.fill_(-77)
        with pytest.raises(CallError):
            eval(f"step({call}", names)
        assert (buffer == -77).all(), mistake.title


def test_names_of_a_step_cannot_be_outputs() -> None:
    """What a step keeps without an underscore hides an output of that name."""
    runtime = Path(catalogue.__file__).parents[1] / "runtime"
    public: set[str] = set()
    for path in runtime.glob("*step.py"):
        for owner in ast.walk(ast.parse(path.read_text())):
            if not isinstance(owner, ast.ClassDef) or not owner.name.endswith("Step"):
                continue
            for node in ast.walk(owner):
                match node:
                    case ast.Attribute(value=ast.Name(id="self"), attr=attr, ctx=ast.Store()):
                        public.add(attr)
                    case ast.FunctionDef(name=name):
                        public.add(name)
                    case _:
                        pass
    public = {name for name in public if not name.startswith("_")}
    assert public == demands.STEP
    assert not any(keyword.iskeyword(name) for name in public)
