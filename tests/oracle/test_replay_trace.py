"""Traces: what is read, what is refused and with which words, and what is generated."""

from __future__ import annotations

import numpy as np
import pytest

from metaplan.replay import CODE, CONVERSATION, TraceError, generate, read

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def written(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_a_trace_is_sorted_by_arrival(tmp_path):
    text = HEADER + "2023-11-16 18:17:04.5000000,30,8\n2023-11-16 18:17:03.0000000,40,0\n\n"
    trace = read(written(tmp_path, text))
    assert trace.arrival.tolist() == [0.0, 1.5]
    assert trace.context.tolist() == [40, 30]
    assert trace.generated.tolist() == [0, 8]


def test_seconds_and_other_columns_are_allowed(tmp_path):
    text = "id,GeneratedTokens,ContextTokens,TIMESTAMP\na,3,4,10.5\nb,5,6,12\n"
    trace = read(written(tmp_path, text))
    assert trace.arrival.tolist() == [0.0, 1.5]
    assert trace.context.tolist() == [4, 6]


@pytest.mark.parametrize(
    ("text", "where", "hint"),
    [
        ("", "trace.csv: is empty", "write the header TIMESTAMP"),
        (HEADER, "trace.csv:2: has no requests", "write one request a line"),
        ("TIMESTAMP,Context\n1,2\n", ":1, column ContextTokens: is missing", "write the header"),
        (HEADER + "1,2,3\nnoon,2,3\n", ":3, column TIMESTAMP: 'noon' is no time", "seconds"),
        (HEADER + "nan,2,3\n", ":2, column TIMESTAMP: 'nan' is no time", "seconds"),
        (HEADER + "1,-2,3\n", ":2, column ContextTokens: '-2' is no number", "at least 1"),
        (HEADER + "1,0,3\n", ":2, column ContextTokens: '0' is no number", "at least 1"),
        (HEADER + "1,2,x\n", ":2, column GeneratedTokens: 'x' is no number", "at least 0"),
        (HEADER + "1,2\n", ":2, column GeneratedTokens: is missing in a row of 2", "fill the row"),
        (HEADER + "1,99999999999,2\n", ":2, column ContextTokens", "write an integer"),
    ],
)
def test_a_bad_trace_is_refused_with_its_place(tmp_path, text, where, hint):
    with pytest.raises(TraceError) as error:
        read(written(tmp_path, text))
    assert where in str(error.value)
    assert hint in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TraceError, match=r"none\.csv: there is no such file"):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize("statistics", [CONVERSATION, CODE], ids=lambda s: s.name)
def test_a_generated_trace_has_the_published_statistics(statistics):
    trace = generate(statistics, 20000, seed=5)
    rate = len(trace) / trace.arrival[-1]
    assert rate == pytest.approx(statistics.requests_per_second, rel=0.05)
    assert np.log(np.median(trace.context)) == pytest.approx(statistics.context[0], abs=0.05)
    assert np.log(np.median(trace.generated)) == pytest.approx(statistics.generated[0], abs=0.05)
    assert trace.context.max() <= statistics.most_context
    assert trace.generated.min() >= 1
    again = generate(statistics, 20000, seed=5)
    assert np.array_equal(trace.context, again.context)
