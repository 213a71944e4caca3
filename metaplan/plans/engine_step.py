"""A runner's step: what vLLM 0.33 computes in front of a decode or mixed step, and after sampling.

The formulas restate that engine's v1/worker/gpu/input_batch.py, block_table.py and cp_utils.py. The
engine runs five to nine kernels and two copies for them; here the host sends its three short arrays
once and one launch does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import metaplan as mp
from metaplan import i32, i64
from metaplan.plans.shipped import Shipped

Outputs = dict[str, mp.Value | mp.Out | mp.Change]


@dataclass(frozen=True, slots=True)
class Group:
    """A KV-cache group: ``page`` tokens a page; ``reach`` tokens that are still read, 0 for all."""

    page: int = 16
    reach: int = 0


@dataclass(frozen=True, slots=True)
class Interleave:
    """Decode context parallelism: this ``rank`` of ``size`` owns every size-th run of ``run`` tokens."""

    size: int = 1
    rank: int = 0
    run: int = 1

    def local_length(self, length: mp.Value) -> mp.Value:
        """How many of the first ``length`` tokens this rank owns."""
        whole, rest = length // (self.size * self.run), length % (self.size * self.run)
        own = mp.minimum(mp.maximum(rest - self.rank * self.run, 0), self.run)
        return whole * self.run + own

    def place(self, pos: mp.Value, page: int) -> tuple[mp.Value, mp.Value]:
        """Whether this rank owns ``pos``, and its place among the tokens that it owns."""
        virtual = page * self.size
        inside = pos % virtual
        owned = inside // self.run % self.size == self.rank
        local = inside // (self.run * self.size) * self.run + inside % self.run
        return owned, pos // virtual * page + local


def engine_step(
    *,
    groups: tuple[Group, ...] = (Group(),),
    drafts: int = 0,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    interleave: Interleave | None = None,
    vocabulary: int = 1 << 20,
    num_pages: int = 1 << 20,
    states: int = 1 << 20,
) -> mp.Plan:
    """The plan of a step, prompt chunks and decodes mixed.

    Args:
        groups: the KV-cache groups, each with its own block table.
        drafts: the most draft tokens of a request.
        max_model_len: the longest sequence.
        max_tokens: the most tokens of a request in one step (a prompt chunk).
        interleave: decode context parallelism, where there is any.
        vocabulary: token ids lie below.
        num_pages: page numbers lie below.
        states: rows of the request tables.
    """

    @mp.plan
    def engine_step(
        idx_mapping: Annotated[i64, "req", mp.HOST, mp.between(-1, states - 1)],
        num_scheduled: Annotated[i32, "req", mp.HOST, mp.between(0, max_tokens)],
        num_draft: Annotated[i32, "req", mp.HOST, mp.between(0, drafts)],
        padded_reqs: Annotated[i32, mp.between(0, 1 << 20)],
        padded_tokens: Annotated[i32, mp.between(0, 1 << 24)],
        num_computed_tokens: Annotated[i32, "state", mp.between(0, max_model_len)],
        prefill_len: Annotated[i32, "state", mp.between(0, max_model_len)],
        all_token_ids: Annotated[i32, "state", "model_len", mp.below(vocabulary)],
        last_sampled_tokens: Annotated[i64, "state", mp.below(vocabulary)],
    ) -> Outputs:
        req = mp.axis("req")
        tok = mp.ragged(req, num_scheduled, most=max_tokens)
        logit = mp.ragged(req, num_draft + 1, most=drafts + 1)

        real = idx_mapping >= 0
        computed = mp.where(real, num_computed_tokens[idx_mapping], 0)
        prompt = mp.where(real, prefill_len[idx_mapping], 0)
        seq_len = computed + num_scheduled
        pos = computed + tok.offset

        from_end = num_scheduled - tok.offset
        generated = seq_len > prompt
        last = generated & (from_end == num_draft + 1) & (seq_len - num_draft - 1 >= prompt)
        known = (computed < prompt) & (pos < max_model_len)
        prompt_token = mp.where(known, all_token_ids[idx_mapping, pos], 0)
        token = mp.where(last, i32(last_sampled_tokens[idx_mapping]), prompt_token)
        written = last | known
        if drafts:
            draft_tokens = mp.array("draft_tokens", i64.KIND, "state", drafts, mp.below(vocabulary))
            draft = generated & (from_end <= num_draft)
            token = mp.where(draft, i32(draft_tokens[idx_mapping, num_draft - from_end]), token)
            written = draft | written

        outputs: Outputs = dict(
            query_start_loc=tok.indptr,
            cu_num_logits=logit.indptr,
            seq_lens=mp.tail(seq_len, 0),
            positions=i64(pos),
            input_ids=mp.keep(token, where=real & written),
            logits_indices=i64(tok.indptr + num_scheduled - logit.length + logit.offset),
            expanded_idx_mapping=mp.on(logit, idx_mapping),
            expanded_local_pos=logit.offset,
            is_padding=mp.tail(mp.on(tok, False), True, until=padded_tokens),
        )
        for g, group in enumerate(groups):
            block_table = mp.array(
                f"block_table_{g}", i32.KIND, "state", f"page_{g}", mp.below(num_pages)
            )
            num_blocks = mp.array(f"num_blocks_{g}", i32.KIND, "state", mp.below(1 << 20))
            col = mp.dense(req, f"page_{g}", name=f"col_{g}")
            blocks = mp.where(real, num_blocks[idx_mapping], 0)
            page = block_table[idx_mapping, col.offset]
            if group.reach and interleave is None:
                gone = mp.maximum(computed - group.reach, 0) // group.page
                page = mp.where(col.offset >= gone, page, 0)
            row = mp.keep(page, where=real & (col.offset < blocks))
            outputs[f"input_block_table_{g}"] = mp.tail(row, 0, until=padded_reqs)

            mine, place = real, pos
            if interleave is not None:
                owned, place = interleave.place(pos, group.page)
                mine = real & owned
            block = block_table[idx_mapping, place // group.page]
            slot = i64(block) * group.page + i64(place % group.page)
            outputs[f"slot_mapping_{g}"] = mp.tail(mp.where(mine, slot, -1), -1)
        if interleave is not None:
            outputs["dcp_local_seq_lens"] = mp.tail(interleave.local_length(seq_len), 0)
        return outputs

    return engine_step


def post_update(
    *,
    drafts: int = 0,
    max_model_len: int = 131072,
    max_tokens: int = 8192,
    vocabulary: int = 1 << 20,
    states: int = 1 << 20,
) -> mp.Plan:
    """The plan that applies a step's samples to the request tables, in place.

    Run it once a step: it reads old counts and writes new ones.
    """

    @mp.plan
    def post_update(
        idx_mapping: Annotated[i64, "req", mp.between(-1, states - 1), mp.DISTINCT],
        query_start_loc: Annotated[i32, "req_fence", mp.below(1 << 24)],
        sampled_tokens: Annotated[i64, "req", drafts + 1, mp.below(vocabulary)],
        num_sampled: Annotated[i32, "req", mp.between(0, drafts + 1)],
        num_rejected: Annotated[i32, "req", mp.between(0, drafts + 1)],
        num_computed_tokens: Annotated[i32, "state", mp.between(0, max_model_len), mp.STATE],
        last_sampled_tokens: Annotated[i64, "state", mp.below(vocabulary), mp.STATE],
        total_len: Annotated[i32, "state", mp.between(0, max_model_len), mp.STATE],
        all_token_ids: Annotated[i32, "state", "model_len", mp.STATE],
    ) -> Outputs:
        req = mp.axis("req")
        real = idx_mapping >= 0
        sample = mp.ragged(req, mp.where(real, num_sampled, 0), most=drafts + 1)
        query_len = query_start_loc[req.index + 1] - query_start_loc[req]
        length = total_len[idx_mapping]
        computed = num_computed_tokens[idx_mapping]
        end = mp.maximum(num_sampled - 1, 0)
        outputs: Outputs = dict(
            last_sampled=mp.update(
                last_sampled_tokens[idx_mapping],
                sampled_tokens[req, end],
                where=real & (num_sampled > 0),
            ),
            tokens=mp.update(
                all_token_ids[idx_mapping, length + sample.offset],
                i32(sampled_tokens[req, sample.offset]),
                where=real,
            ),
            lengths=mp.update(length, length + num_sampled, where=real),
            computed=mp.update(computed, computed + query_len - num_rejected, where=real),
        )
        if drafts:
            new = mp.array("new_draft_tokens", i64.KIND, "req", drafts, mp.below(vocabulary))
            tokens = mp.array(
                "draft_tokens", i64.KIND, "state", drafts, mp.below(vocabulary), mp.STATE
            )
            draft = mp.dense(req, drafts)
            outputs["drafts"] = mp.update(
                tokens[idx_mapping, draft.offset], new[req, draft.offset], where=real
            )
        return outputs

    return post_update


DRAFTS, STATES, MODEL_LEN = 7, 1024, 131072


def shipped() -> tuple[Shipped, ...]:
    groups = (Group(16), Group(16, reach=128))
    tables = {"state": STATES, "model_len": MODEL_LEN}
    return (
        Shipped(
            "engine_step",
            lambda: engine_step(groups=groups, drafts=DRAFTS, states=STATES),
            {"req": 1024, "tok": 8192, "page_0": 8192, "page_1": 8192, **tables},
        ),
        Shipped(
            "post_update",
            lambda: post_update(drafts=DRAFTS, states=STATES),
            {"req": 1024, **tables},
        ),
    )
