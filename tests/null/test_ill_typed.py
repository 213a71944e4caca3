"""A plan with a mistake ends in an error of the catalogue, with the user's line and a hint: never in one from inside."""

from __future__ import annotations

import pytest

from metaplan.errors import MetaplanError
from metaplan.passes.pipeline import stages
from tests.fuzz.declaring import declared, usable, user_file, users_own
from tests.fuzz.mutating import mutated

pytestmark = pytest.mark.null


def told(seed: int) -> str:
    """What is wrong with how the plan of ``seed`` is refused, ``refused``, or nothing."""
    drawn = mutated(seed)
    with user_file(drawn.source):
        try:
            list(stages(declared(drawn.source).ir, drawn.sizes))
        except MetaplanError as error:
            return (usable(error) and f"{usable(error)}\n{drawn.source}\n{error}") or "refused"
        except Exception as error:  # noqa: BLE001 any other error is what is looked for
            return "refused" if users_own(error) else f"{error!r}\n{drawn.source}"
    return ""


@pytest.mark.parametrize("first", range(0, 240, 30))
def test_a_mistake_is_told_in_the_users_terms(first: int) -> None:
    found = [told(seed) for seed in range(first, first + 30)]
    wrong = [text for text in found if text not in ("", "refused")]
    assert not wrong, wrong[0]
    assert found.count("refused") > 5
