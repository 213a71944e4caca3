"""paged_decode: both forms of the oracle say the same, and the small cases say what a person expects."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle.batches import PAGE_COL, REQ, TOK, paged_inputs
from tests.oracles import PagedDecode, compare, loop_paged_decode, vec_paged_decode
from tests.oracles.buffers import paged_buffers

PLANS = [PagedDecode(4, 9, 12), PagedDecode(16, 128, 136), PagedDecode(1, 1, 3)]


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("req", range(REQ + 1))
def test_both_forms_agree(plan, req):
    before = paged_buffers(plan, REQ, TOK, PAGE_COL)
    for seed in range(15):
        inputs = paged_inputs(plan, np.random.default_rng([seed, req]), req)
        vec = vec_paged_decode(plan, inputs, before)
        loop = loop_paged_decode(plan, inputs, before)
        assert compare(vec, loop.values) == []
        assert compare(loop, vec.values) == []


def test_one_request_by_hand():
    plan = PagedDecode(page=4, window=3, ring=5)
    inputs = {
        "req": 1,
        "num_tokens": np.array([8], np.int32),
        "num_rejected": np.array([1], np.int32),
        "query_len": np.array([2], np.int32),
        "table_row": np.array([1], np.int32),
        "block_table": np.array([[7, 7, 7], [5, 2, 9]], np.int32),
        "graph_tokens": 3,
    }
    got = vec_paged_decode(plan, inputs, paged_buffers(plan, 2, 4, 3)).values
    assert got["positions"].tolist() == [5, 6, 0, 0]
    assert got["seq_lens"].tolist() == [7, 0]
    assert got["slot_mapping"].tolist() == [9, 10, -1, -1]
    assert got["page_table"].tolist() == [[5, 2, 0], [-99, -99, -99]]
    assert got["kv_page_indptr"].tolist() == [0, 2, 2]
    assert got["last_page_len"].tolist() == [3, 0]
    assert got["window_ring"].tolist() == [[3, 4, 0], [4, 0, 1], [-1] * 3, [-99] * 3]
    assert got["window_indices"].tolist() == [23, 8, 9, 8, 9, 10]
