# pyright: basic
"""The kernels of a small Llama decoder with a paged KV cache: all that its step needs beside matrix products."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add_norm(x, residual, weight, out, ADD: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """``residual += x`` (if ``ADD``), ``out`` its RMS norm times ``weight``: a token a program."""
    token = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    inside = lane < WIDTH
    at = token * WIDTH + lane
    value = tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(residual + at, value, mask=inside)
    scale = tl.rsqrt(tl.sum(value * value, 0) / WIDTH + 1e-6)
    gain = tl.load(weight + lane, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, value * scale * gain, mask=inside)


@triton.jit
def rotate_and_store(
    qkv,
    turns,
    positions,
    slot_mapping,
    queries,
    cache,
    slots,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HALF: tl.constexpr,
):
    """Rotates queries and keys by their position; keys and values go to their slot: a head of a token a program."""
    token = tl.program_id(0)
    head = tl.program_id(1)
    lane = tl.arange(0, HALF)
    at = (token * (HEADS + 2 * KV_HEADS) + head) * 2 * HALF + lane
    low = tl.load(qkv + at).to(tl.float32)
    high = tl.load(qkv + at + HALF).to(tl.float32)
    angle = tl.load(positions + token).to(tl.int64) * 2 * HALF + lane
    turned = head < HEADS + KV_HEADS  # values are not
    cos = tl.where(turned, tl.load(turns + angle), 1.0)
    sin = tl.where(turned, tl.load(turns + angle + HALF), 0.0)
    first = low * cos - high * sin
    second = high * cos + low * sin
    if head < HEADS:
        to = (token * HEADS + head) * 2 * HALF + lane
        tl.store(queries + to, first)
        tl.store(queries + to + HALF, second)
    else:
        slot = tl.load(slot_mapping + token).to(tl.int64)
        if slot >= 0:
            kind = (head - HEADS) // KV_HEADS
            row = kind.to(tl.int64) * slots + slot
            to = (row * KV_HEADS + (head - HEADS) % KV_HEADS) * 2 * HALF + lane
            tl.store(cache + to, first)
            tl.store(cache + to + HALF, second)


@triton.jit
def attend(
    queries,
    cache,
    block_table,
    seq_lens,
    sums,
    weights,
    slots,
    width,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    PAGE: tl.constexpr,
    SPLITS: tl.constexpr,
    GROUP: tl.constexpr,
    TILE: tl.constexpr,
    SCALE: tl.constexpr,
):
    """One of ``SPLITS`` stretches of a row's keys, for the queries that share a KV head: sums not yet divided."""
    row = tl.program_id(0)
    kv = tl.program_id(1)
    split = tl.program_id(2)
    SHARED: tl.constexpr = HEADS // KV_HEADS
    length = tl.load(seq_lens + row)
    tiles = tl.cdiv(length, TILE)
    each = tl.cdiv(tiles, SPLITS)
    lane = tl.arange(0, HEAD)
    member = tl.arange(0, GROUP)
    asked = (row * HEADS + kv * SHARED + member)[:, None] * HEAD + lane[None]
    query = tl.load(queries + asked, mask=(member < SHARED)[:, None], other=0.0)
    top = tl.full([GROUP], -1e30, tl.float32)
    total = tl.zeros([GROUP], tl.float32)
    value = tl.zeros([GROUP, HEAD], tl.float32)
    for tile in range(split * each, tl.minimum(tiles, (split + 1) * each)):
        at = tile * TILE + tl.arange(0, TILE)
        seen = at < length
        page = tl.load(block_table + row * width + at // PAGE, mask=seen, other=0).to(tl.int64)
        slot = page * PAGE + at % PAGE
        place = (slot * KV_HEADS + kv)[:, None] * HEAD + lane[None]
        key = tl.load(cache + place, mask=seen[:, None], other=0.0)
        score = tl.where(seen[None], tl.dot(query, tl.trans(key)) * SCALE, -1e30)
        higher = tl.maximum(top, tl.max(score, 1))
        share = tl.where(seen[None], tl.exp(score - higher[:, None]), 0.0)
        fade = tl.exp(top - higher)
        behind = slots.to(tl.int64) * KV_HEADS * HEAD
        held = tl.load(cache + behind + place, mask=seen[:, None], other=0.0)
        total = total * fade + tl.sum(share, 1)
        value = value * fade[:, None] + tl.dot(share.to(held.dtype), held)
        top = higher
    part = ((row * KV_HEADS + kv) * SPLITS + split) * GROUP + member
    tl.store(sums + part[:, None] * HEAD + lane[None], value)
    tl.store(weights + 2 * part, top)
    tl.store(weights + 2 * part + 1, total)


@triton.jit
def combine(
    sums,
    weights,
    out,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HEAD: tl.constexpr,
    SPLITS: tl.constexpr,
    GROUP: tl.constexpr,
):
    """The stretches of a row's keys as one attention output: a head a program; 0 for an empty row."""
    row = tl.program_id(0)
    head = tl.program_id(1)
    SHARED: tl.constexpr = HEADS // KV_HEADS
    lane = tl.arange(0, HEAD)
    split = tl.arange(0, SPLITS)
    part = ((row * KV_HEADS + head // SHARED) * SPLITS + split) * GROUP + head % SHARED
    top = tl.load(weights + 2 * part)
    total = tl.load(weights + 2 * part + 1)
    share = tl.exp(top - tl.max(top, 0))
    value = tl.load(sums + part[:, None] * HEAD + lane[None])
    mean = tl.sum(value * share[:, None], 0) / tl.maximum(tl.sum(total * share, 0), 1e-30)
    tl.store(out + (row * HEADS + head) * HEAD + lane, mean)


@triton.jit
def gate(both, out, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """``silu(first half) * second half`` of each token."""
    token = tl.program_id(0)
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < WIDTH
    at = token.to(tl.int64) * 2 * WIDTH + lane
    first = tl.load(both + at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(both + at + WIDTH, mask=inside, other=0.0).to(tl.float32)
    value = first / (1 + tl.exp(-first)) * second
    tl.store(out + token.to(tl.int64) * WIDTH + lane, value, mask=inside)


@triton.jit(do_not_specialize=["start", "length"])
def copy_prompt(
    prompt,
    cache,
    pages,
    start,
    length,
    longest,
    slots,
    PAGE: tl.constexpr,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Keys or values of one layer of a ready prompt into a request's pages: ``TILE`` tokens a program."""
    half = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * TILE + tl.arange(0, TILE)
    lane = tl.arange(0, BLOCK)
    known = at < length
    inside = known[:, None] & (lane < WIDTH)[None]
    page = tl.load(pages + at // PAGE, mask=known, other=0).to(tl.int64)
    source = (half * longest + start + at)[:, None] * WIDTH + lane[None]
    target = (half * slots + page * PAGE + at % PAGE)[:, None] * WIDTH + lane[None]
    tl.store(cache + target, tl.load(prompt + source, mask=inside), mask=inside)


@triton.jit
def carry_over(input_ids, sampled, carry, rows, BLOCK: tl.constexpr):
    """Input ids that the host could not know yet: row ``carry`` of what the step before sampled, -1 for none."""
    row = tl.arange(0, BLOCK)
    inside = row < rows
    source = tl.load(carry + row, mask=inside, other=-1)
    taken = inside & (source >= 0)
    token = tl.load(sampled + tl.where(taken, source, 0), mask=taken, other=0)
    tl.store(input_ids + row, token.to(input_ids.dtype.element_ty), mask=taken)
