# pyright: basic
"""FlashInfer's planners, which run on the host, and vLLM's page lists beside one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from metaplan.plans.schedules import flashinfer_decode_split, flashinfer_prefill_split
from tests.oracles import schedules as loops
from tests.peers.batches import lengths, served_lengths, table
from tests.peers.families import vllm_flashinfer
from tests.peers.native_calls import decode_plan, prefill_plan, tile_rows
from tests.peers.peer import Batch, Peer, Setup, Tensors, Theirs

REQ, WIDTH, PAGE, SERVED = 9, 188, 16, 32768
PROCESSORS, BLOCKS, H200 = 13, 3, 132
BUILDER = vllm_flashinfer.BUILDER
Before = Mapping[str, torch.Tensor]
Options = Mapping[str, Any]


def starts(counts: Any) -> np.ndarray:
    return np.append(0, np.cumsum(counts)).astype(np.int32)


class Rooms:
    """The planner's arrays, on the host and where one copy takes them."""

    def __init__(self, device: str) -> None:
        self.host = torch.zeros(1 << 16, dtype=torch.uint8, pin_memory=device != "cpu")
        self.device = torch.zeros(1 << 16, dtype=torch.uint8, device=device)

    def send(self) -> None:
        self.device.copy_(self.host, non_blocking=True)


# ------------------------------------------------------------------- decode

KV_HEADS = 5
FIT = PROCESSORS * BLOCKS // KV_HEADS


def overrun(some: np.ndarray) -> bool:
    """Whether the planner writes beyond its arrays under CUDA graphs: it looks for a chunk with which all tiles fit,
    counts none for an empty request there, and makes one.
    """
    pages = [-(-int(n) // PAGE) for n in some]
    made = loops.flashinfer_decode(pages, PROCESSORS * BLOCKS, KV_HEADS, max(128 // PAGE, 1))
    return len(some) <= FIT < len(made[0])


def decodes(rng: np.random.Generator) -> Iterator[Batch]:
    for label, some in (
        *lengths(rng, REQ, PAGE, WIDTH * PAGE),
        ("one long", np.asarray([WIDTH * PAGE], np.int32)),
        ("as many as fit", rng.integers(1, WIDTH * PAGE, FIT).astype(np.int32)),
        ("long among empty", np.asarray([WIDTH * PAGE, 0, 0, WIDTH * PAGE, 0, 0], np.int32)),
    ):
        given = dict(graphs=not overrun(some), processors=PROCESSORS, kv_heads=KV_HEADS)
        inputs = dict(seq_lens=some, block_table=table(rng, REQ, WIDTH))
        yield Batch(inputs, {"req": len(some)}, label, given)


def decode_setup(processors: int, kv_heads: int, requests: int, width: int) -> Setup:
    grid = processors * BLOCKS
    sizes = {"req": requests, "tile": requests + grid // kv_heads, "page": width}
    given: Any = dict(grid=grid, kv_heads=kv_heads, page=PAGE, lists=True)
    return Setup(lambda: flashinfer_decode_split(max_model_len=width * PAGE, **given), sizes)


def decode_bench(requests: int, query: int) -> tuple[Setup, Batch]:
    rng, width = np.random.default_rng(0), SERVED // PAGE
    inputs = dict(seq_lens=served_lengths(rng, requests), block_table=table(rng, requests, width))
    given = dict(graphs=True, processors=H200, kv_heads=8)
    setup = decode_setup(H200, 8, requests, width)
    return setup, Batch(inputs, {"req": requests}, extra=given)


def decode(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    """From host lengths, as the engine has them without drafts."""
    lists = vllm_flashinfer.theirs(batch, given, before, device)
    indptr = torch.from_numpy(starts(-(-np.asarray(batch.inputs["seq_lens"]) // PAGE)))
    graphs, processors, heads = (batch.extra[n] for n in ("graphs", "processors", "kv_heads"))
    rooms, found = Rooms(device), dict[str, torch.Tensor]()

    def call() -> None:
        lists.call()
        found.update(decode_plan(indptr, heads, PAGE, graphs, processors, BLOCKS, rooms.host))
        rooms.send()

    return Theirs(call, lambda: {**lists.read(), **found}, captured=False)


# ------------------------------------------------------------------ prefill

QUERY, GROUP, LONGEST = 70, 4, 1200


def prefills(options: Options) -> Callable[[np.random.Generator], Iterator[Batch]]:
    def steps(rng: np.random.Generator) -> Iterator[Batch]:
        for label, some in lengths(rng, 6, PAGE, LONGEST):
            if not len(some):
                continue  # the planner is made for at least one request
            every = rng.integers(0, QUERY + 1, len(some))
            for query, words in (
                (every, "prompts"),
                (np.ones_like(every), "one token each"),
                (np.full_like(every, QUERY), "the most tokens"),
            ):
                if words != "prompts" and label != "every row live":
                    continue
                inputs = dict(query_start_loc=starts(query), seq_lens=some)
                given = dict(processors=PROCESSORS, kv_heads=1, rows=6 * QUERY, **options)
                yield Batch(inputs, {"req": len(some)}, f"{label}, {words}", given)

    return steps


def prefill_setup(
    processors: int, kv_heads: int, requests: int, query: int, most: int, options: Options
) -> Setup:
    rows, fit = requests * query, 2 * processors // kv_heads
    tile = tile_rows(rows, requests, GROUP)
    tiles = -(-rows * GROUP // tile) + requests
    given: Any = dict(
        grid=2 * processors, kv_heads=kv_heads, group=GROUP, tile_rows=tile, **options
    )
    sizes = {"req": requests, "row": rows, "tile": tiles, "chunk": tiles + fit}
    return Setup(
        lambda: flashinfer_prefill_split(page=PAGE, max_query=query, max_model_len=most, **given),
        sizes,
    )


def prefill_bench(options: Options) -> Callable[[int, int], tuple[Setup, Batch]]:
    def at(requests: int, query: int) -> tuple[Setup, Batch]:
        rng = np.random.default_rng(0)
        inputs = dict(
            query_start_loc=starts([query] * requests), seq_lens=served_lengths(rng, requests)
        )
        given = dict(processors=H200, kv_heads=8, rows=requests * query, **options)
        setup = prefill_setup(H200, 8, requests, query, SERVED, options)
        return setup, Batch(inputs, {"req": requests}, extra=given)

    return at


def prefill(batch: Batch, given: Tensors, before: Before, device: str) -> Theirs:
    """From host lengths, as the engine has them without drafts."""
    own, rooms, found = batch.extra, Rooms(device), dict[str, torch.Tensor]()
    qo_indptr = torch.from_numpy(np.asarray(batch.inputs["query_start_loc"]))
    kv_indptr = torch.from_numpy(starts(-(-np.asarray(batch.inputs["seq_lens"]) // PAGE)))
    sizes = own["kv_heads"], GROUP, PAGE, own.get("window", -1), own["processors"]

    def call() -> None:
        found.update(prefill_plan(qo_indptr, kv_indptr, own["rows"], *sizes, rooms.host))
        rooms.send()

    return Theirs(call, lambda: found, captured=False)


def prefill_peer(name: str, **options: Any) -> Peer:
    return Peer(
        name=name,
        engine="vllm",
        plan="flashinfer_prefill_split",
        replaces=(f"{BUILDER}:FlashInferMetadataBuilder.build",),
        setup=prefill_setup(PROCESSORS, 1, 6, QUERY, LONGEST, options),
        batches=prefills(options),
        theirs=prefill,
        bench=prefill_bench(options),
    )


PEERS = (
    Peer(
        name="FlashInfer page lists and decode split",
        engine="vllm",
        plan="flashinfer_decode_split",
        replaces=(
            f"{BUILDER}:fast_plan_decode",
            f"{BUILDER}:FlashInferMetadataBuilder._compute_flashinfer_kv_metadata",
            f"{BUILDER}:_copy_page_indices_kernel",
        ),
        setup=decode_setup(PROCESSORS, KV_HEADS, REQ, WIDTH),
        batches=decodes,
        theirs=decode,
        bench=decode_bench,
    ),
    prefill_peer("FlashInfer prefill split"),
    prefill_peer("FlashInfer prefill split in a window", window=100),
)
