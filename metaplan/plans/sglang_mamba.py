"""State slots of linear attention and of Mamba, as SGLang 0.5.23 prepares them before a graph's replay.

The engine gathers the slots in one kernel or four torch calls, translates and copies those that keep
checkpoints, copies the query starts and a tree's links, and moves a ring's cursors on with a sort
(layers/attention/hybrid_linear_attn_backend.py, kernels/ops/mamba/mamba_state_indices_triton.py).
Here it is one launch. Two requests must not share a state slot.
"""

from __future__ import annotations

from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


def sglang_mamba(
    *,
    query: int = 1,
    tree: bool = False,
    track: bool = True,
    ring: int = 0,
    interval: int = 256,
    v2p: bool = False,
    states: int = 1 << 20,
    num_slots: int = 1 << 20,
    max_model_len: int = 131072,
) -> mp.Plan:
    """The plan for a graph of ``req`` rows, of which those from ``valid`` on are padding.

    Args:
        query: query tokens of a request: more than one at verify.
        tree: drafts form a tree, whose links the convolution follows.
        track: some rows keep a checkpoint of their state in another slot.
        ring: tokens that a state's ring buffer holds before they are folded into it, 0 for no ring.
        interval: tokens between two checkpoints; a ring is folded there too.
        v2p: slots are virtual, and a table says where each lies.
        states: rows of the request tables.
        num_slots: state slots.
        max_model_len: the longest sequence.
    """

    @mp.plan
    def sglang_mamba(
        valid: Annotated[i32, mp.between(0, 1 << 20)],
        req_pool_indices: Annotated[i64, "req", mp.below(states), mp.STATE],
        mamba_index_mapping: Annotated[i32, "state", mp.below(num_slots)],
    ) -> Outputs:
        req = mp.axis("req")
        real = req.index < valid
        table = mp.array("mamba_v2p", i64.KIND, "slot", mp.below(num_slots)) if v2p else None
        slot = mp.where(real, mamba_index_mapping[req_pool_indices], 0)
        if table is not None:
            slot = i32(table[slot])
        outputs: Outputs = dict(
            state_indices=mp.where(real, slot, -1),
            query_start_loc=mp.indptr(mp.where(real, query, 0)),
            padded_rows=mp.update(req_pool_indices[req], 0, where=~real),
        )
        if track:
            kept = mp.array("mamba_track_indices", i64.KIND, "req", mp.below(num_slots))
            outputs["track_indices"] = kept if table is None else table[kept]
        if tree:
            tok = mp.dense(req, query)
            for link in ("retrieve_next_token", "retrieve_next_sibling"):
                links = mp.array(link, i64.KIND, "req", query, mp.between(-1, query - 1))
                copied = mp.where(real, i32(links[req, tok.offset]), 0)
                outputs[f"{link}_rows"] = mp.keep(copied, where=real)
        if ring:
            seq_lens = mp.array("seq_lens", i64.KIND, "req", mp.between(0, max_model_len))
            cursor = mp.array(
                "replayssm_write_pos", i32.KIND, "slot", mp.between(0, ring - 1), mp.STATE
            )
            flush = seq_lens % interval == 0
            at = cursor[slot]
            following = mp.where(flush | (at == ring - 1), 0, (at + 1) % ring)
            outputs["write_pos"] = at
            outputs["force_flush"] = i32(flush)
            outputs["cursors"] = mp.update(cursor[slot], following, where=real, combine="distinct")
        return outputs

    return sglang_mamba


STATES, SLOTS = 1024, 2048


def shipped() -> tuple[Shipped, ...]:
    return (
        Shipped(
            "sglang_mamba",
            lambda: sglang_mamba(query=8, tree=True, v2p=True, states=STATES, num_slots=SLOTS),
            {"req": 1024, "state": STATES, "slot": SLOTS},
        ),
    )
