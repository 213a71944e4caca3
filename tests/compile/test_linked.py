"""The launches of one plan: each but the first may begin before the one in front of it is done, and waits inside."""

from __future__ import annotations

import pytest

from metaplan.compiler import Built, build
from metaplan.plans import shipped
from metaplan.runtime.device_step import compiled
from metaplan.target import TARGETS, target

pytestmark = pytest.mark.compile

TRIGGER, WAIT = "griddepcontrol.launch_dependents", "griddepcontrol.wait"


def made(name: str, where: str = "cuda:90", *, dependent: bool = False) -> Built:
    one = shipped()[name]
    return build(one.plan.ir, one.sizes, target(where), dependent=dependent, linked=True)


@pytest.mark.parametrize("dependent", [False, True])
def test_each_launch_lets_the_next_one_begin_and_waits_for_the_one_before(dependent: bool) -> None:
    texts = [k.text["ptx"] for k in compiled(made("moe_align", dependent=dependent))]
    assert len(texts) == 3
    assert [TRIGGER in text for text in texts] == [True, True, False]
    assert [WAIT in text for text in texts] == [dependent, True, True]


def test_nothing_is_read_in_front_of_the_wait() -> None:
    for kernel in compiled(made("moe_align"))[1:]:
        before = kernel.text["ptx"].partition(WAIT)[0]
        assert "ld.global" not in before
        assert "st.global" not in before


def test_one_launch_waits_for_nobody() -> None:
    assert "gdc" not in made("decode_slots").source


@pytest.mark.parametrize("where", [name for name, t in TARGETS.items() if not t.dependent])
def test_a_device_without_it_is_not_asked(where: str) -> None:
    assert "gdc" not in made("moe_align", where).source
