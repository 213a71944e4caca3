"""Expected buffers of the paged_decode plan: pages, slots and sliding windows of a decode step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .expected import Array, Before, Expected, Inputs
from .ragged import expand, fence, padded


@dataclass(frozen=True, slots=True)
class PagedDecode:
    """Tokens of a page, tokens of the window, slots of the ring that holds a window."""

    page: int = 16
    window: int = 128
    ring: int = 136


def vec_paged_decode(plan: PagedDecode, inputs: Inputs, before: Before) -> Expected:
    """Array form: repeat, running sum and gather."""
    n = int(inputs["req"])
    query = np.asarray(inputs["query_len"])[:n].astype(np.int64)
    row = np.asarray(inputs["table_row"])[:n].astype(np.int64)
    seq = (inputs["num_tokens"][:n] - inputs["num_rejected"][:n]).astype(np.int64)
    table = np.asarray(inputs["block_table"]).astype(np.int64)
    requests, tokens = len(before["seq_lens"]), len(before["positions"])

    owner, offset = expand(query)
    position = (seq - query)[owner] + offset
    pages = -(-seq // plan.page)
    page_owner, page = expand(pages)
    length = np.minimum(position + 1, plan.window)
    token, i = expand(length)
    key = position[token] - length[token] + 1 + i

    def slot(request: Array, at: Array) -> Array:
        return table[row[request], at // plan.page] * plan.page + at % plan.page

    values: dict[str, Array] = {
        "positions": padded(position, tokens, 0, np.int64),
        "cu_seqlens_q": fence(query, requests),
        "seq_lens": padded(seq, requests, 0, np.int32),
        "slot_mapping": padded(slot(owner, position), tokens, -1, np.int64),
        "page_table": _page_table(before["page_table"], table[row], pages),
        "kv_page_indptr": fence(pages, requests),
        "kv_page_indices": table[row[page_owner], page].astype(np.int32),
        "last_page_len": padded(
            np.where(seq > 0, (seq - 1) % plan.page + 1, 0), requests, 0, np.int32
        ),
        "window_ring": _window_ring(plan, before["window_ring"], position, length, inputs),
        "window_indptr": fence(length, tokens),
        "window_indices": slot(owner[token], key).astype(np.int32),
    }
    return Expected.of(values, {})


def _page_table(before: Array, rows: Array, pages: Array) -> Array:
    out = before.copy()
    width = out.shape[1]
    out[: len(rows)] = np.where(np.arange(width) < pages[:, None], rows[:, :width], 0)
    return out


def _window_ring(
    plan: PagedDecode, before: Array, position: Array, length: Array, inputs: Inputs
) -> Array:
    out = before.copy()
    out[len(position) : int(inputs["graph_tokens"])] = -1
    i = np.arange(plan.window)
    ring = (position[:, None] - length[:, None] + 1 + i) % plan.ring
    out[: len(position)] = np.where(i < length[:, None], ring, -1)
    return out


def loop_paged_decode(plan: PagedDecode, inputs: Inputs, before: Before) -> Expected:
    """Element form: one request, one token, one key at a time, in plain integers."""
    out: dict[str, Any] = {name: buffer.copy() for name, buffer in before.items()}
    for name, tail in (("positions", 0), ("seq_lens", 0), ("slot_mapping", -1)):
        out[name][:] = tail
    out["last_page_len"][:] = 0
    fences = {name: [0] for name in ("cu_seqlens_q", "kv_page_indptr", "window_indptr")}
    page_indices: list[int] = []
    window_indices: list[int] = []
    t = 0
    for r in range(int(inputs["req"])):
        seq = int(inputs["num_tokens"][r]) - int(inputs["num_rejected"][r])
        query = int(inputs["query_len"][r])
        table = [int(x) for x in inputs["block_table"][int(inputs["table_row"][r])]]
        held = 0
        while held * plan.page < seq:
            page_indices.append(table[held])
            held += 1
        for c in range(out["page_table"].shape[1]):
            out["page_table"][r, c] = table[c] if c < held else 0
        out["seq_lens"][r] = seq
        out["last_page_len"][r] = seq - (held - 1) * plan.page if seq else 0
        for j in range(query):
            p = seq - query + j
            out["positions"][t] = p
            out["slot_mapping"][t] = table[p // plan.page] * plan.page + p % plan.page
            keys = list(range(max(0, p + 1 - plan.window), p + 1))
            ring = [key % plan.ring for key in keys] + [-1] * (plan.window - len(keys))
            out["window_ring"][t] = ring
            window_indices += [
                table[key // plan.page] * plan.page + key % plan.page for key in keys
            ]
            fences["window_indptr"].append(len(window_indices))
            t += 1
        fences["cu_seqlens_q"].append(t)
        fences["kv_page_indptr"].append(len(page_indices))
    for rest in range(t, int(inputs["graph_tokens"])):
        out["window_ring"][rest] = -1
    for name, values in fences.items():
        missing = len(before[name]) - len(values)
        out[name] = np.array(values + [values[-1]] * missing, np.int32)
    out["kv_page_indices"] = np.array(page_indices, np.int32)
    out["window_indices"] = np.array(window_indices, np.int32)
    return Expected.of(out, {})
