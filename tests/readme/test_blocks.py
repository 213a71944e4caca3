"""The README check itself: what it accepts and what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from blocks import Command, blocks, commands, stands_in

PAGE = """\
Words.

```python
print(1)
```

```console checked
$ echo one
one
$ true
```
"""


def test_blocks_know_their_line_and_info(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    program, console = blocks(page)
    assert (program.name, program.info, program.text) == ("page.md:3", "python", "print(1)\n")
    assert commands(console) == [Command("echo one", ("one",)), Command("true", ())]


def test_an_unclosed_block_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\n")
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        blocks(page)


@pytest.mark.parametrize(
    ("excerpt", "missing"),
    [
        ("b\nc", None),
        ("a\n...\nd", None),
        ("a\nc", "c"),
        ("c\nb", "b"),
        ("e", "e"),
        ("d\ne", "e"),
        ("a\nd", None),
    ],
)
def test_lines_must_follow_each_other(excerpt: str, missing: str | None) -> None:
    assert stands_in(excerpt, "a\nb\nc\na\nd\n") == missing
