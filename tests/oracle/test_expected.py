"""compare: names the first cell that differs and leaves out what is not specified."""

from __future__ import annotations

import numpy as np

from tests.oracles import Expected, compare


def test_undefined_cells_are_not_compared():
    value = np.array([1, 2, 3], np.int32)
    assert compare(Expected({"a": value}, {"a": 2}), {"a": np.array([1, 2, 9, 9], np.int32)}) == []
    mask = np.array([True, False, True])
    assert compare(Expected({"a": value}, {"a": mask}), {"a": np.array([1, 9, 3], np.int32)}) == []


def test_a_mismatch_names_the_first_cell():
    value = np.arange(6, dtype=np.int32).reshape(2, 3)
    actual = value.copy()
    actual[1, 1:] = 0
    (found,) = compare(Expected.of({"table": value}, {}), {"table": actual})
    assert str(found) == "table[1, 1] is 0, expected 4 (2 cells differ)"


def test_a_mismatch_names_a_missing_output_a_dtype_and_a_shape():
    expected = Expected.of({"a": np.zeros(3, np.int32)}, {})
    assert [str(m) for m in compare(expected, {})] == ["a: there is no such output"]
    wrong = compare(expected, {"a": np.zeros(3, np.int64)})
    assert [str(m) for m in wrong] == ["a: dtype is int64, expected int32"]
    short = compare(expected, {"a": np.zeros(2, np.int32)})
    assert [str(m) for m in short] == ["a: shape is (2,), expected at least (3,)"]
