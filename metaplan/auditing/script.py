"""A script as Python would run it, inside this process."""

from __future__ import annotations

import runpy
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from metaplan import catalogue


def need_script(path: Path) -> None:
    """Raises CallError where there is no such file."""
    if not path.is_file():
        raise catalogue.no_such_script(str(path))


def run(path: Path, arguments: Sequence[str]) -> int:
    """Its exit code: 0, what it gave to sys.exit, or 1 after an error, printed from its own first line."""
    need_script(path)
    try:
        with _as_started(path, arguments), _Shown(path):
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as ended:
        return _code(ended.code)
    return 0


@contextmanager
def _as_started(path: Path, arguments: Sequence[str]) -> Generator[None]:
    argv, folders = sys.argv, list(sys.path)
    sys.argv = [str(path), *arguments]
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        yield
    finally:
        sys.argv = argv
        sys.path[:] = folders


class _Shown:
    """Prints an error of the script without the frames above it, and ends as Python ends then."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, SystemExit | KeyboardInterrupt):
            return
        while trace is not None and trace.tb_frame.f_code.co_filename != str(self.path):
            trace = trace.tb_next
        traceback.print_exception(type(error), error, trace)
        raise SystemExit(1) from error


def _code(told: object) -> int:
    if told is None or isinstance(told, int):
        return told or 0
    print(told, file=sys.stderr)
    return 1
