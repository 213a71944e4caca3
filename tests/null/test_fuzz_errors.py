"""What the fuzzer takes for a user's own mistake, and what for one of ours."""

from __future__ import annotations

import pytest

from tests.fuzz.declaring import FILE, users_own

pytestmark = pytest.mark.null


@pytest.mark.parametrize(("file", "own"), [(FILE, True), ("generated.py", False)])
def test_text_that_python_cannot_read_is_the_users_in_the_users_file_only(
    file: str, own: bool
) -> None:
    with pytest.raises(SyntaxError) as raised:
        compile("x = 0.to(3)", file, "exec")
    assert users_own(raised.value) is own
