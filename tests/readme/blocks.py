"""The fenced blocks of a Markdown file, and what must hold of each.

```python                      a program of its own: runs in a fresh process as example.py
```text printed                what the program right above prints, all of it
```python kernels/NAME.py      an excerpt: these lines stand in that file, in this order
```console checked             after each "$ " a command; then what it prints ("..." for any lines)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FENCE = "```"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its info string, its text and the line it starts at."""

    file: str
    line: int
    info: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block and the lines that it is said to print."""

    line: str
    output: tuple[str, ...]


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of ``path``; none where the file is not there."""
    found: list[Block] = []
    start, info, lines = 0, "", list[str]()
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else (), 1):
        if line.startswith(FENCE) and start:
            found.append(Block(path.name, start, info, "\n".join(lines) + "\n"))
            start = 0
        elif line.startswith(FENCE):
            start, info, lines = number, line.removeprefix(FENCE).strip(), []
        else:
            lines.append(line)
    assert not start, f"{path.name}:{start}: this block is never closed"
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console block, each with its expected output."""
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ "), ()))
        else:
            assert found, f"{block.name}: output before the first command"
            found[-1] = Command(found[-1].line, (*found[-1].output, line))
    return found


def stands_in(excerpt: str, source: str) -> str | None:
    """None where the lines of ``excerpt`` follow each other in ``source``; else the first that is not there.

    A line of dots alone jumps over any lines of the source.
    """
    lines, at = source.splitlines(), 0
    for part in _parts(excerpt):
        agree = {start: _agreement(part, lines[start:]) for start in range(at, len(lines) + 1)}
        best = max(agree, key=lambda start: agree[start])
        if agree[best] < len(part):
            return part[agree[best]]
        at = best + len(part)
    return None


def _parts(excerpt: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in excerpt.rstrip().splitlines():
        if line.strip() in ("...", "# ..."):
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def _agreement(wanted: list[str], found: list[str]) -> int:
    """How many lines of ``wanted`` ``found`` begins with."""
    pairs = enumerate(zip(wanted, found, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(len(wanted), len(found)))


def printed(expected: tuple[str, ...], actual: str) -> str | None:
    """None where the command printed what the block says; else the first line that it did not."""
    return stands_in("\n".join(expected), actual) if any(expected) else None
