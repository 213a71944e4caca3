# pyright: basic
"""The same loop without a wait: the step is one graph, and tokens are read when they have arrived.

metaplan audit bench/loops/ahead.py --skip 10 --steps 8
"""

from __future__ import annotations

import torch
from parts import END, PROMPT, REQUESTS, STEPS, Model, block_table, prompts

import metaplan as mp
from metaplan.plans.decode_slots import decode_slots

DEVICE = "cuda"


def main() -> None:
    model, tokens = Model(DEVICE), prompts(DEVICE)
    lengths = torch.full((REQUESTS,), PROMPT + 1, dtype=torch.int32, device=DEVICE)
    step = decode_slots.compile(req=REQUESTS, device=DEVICE)
    step.bind(
        scheduled=lengths,
        rejected=torch.zeros_like(lengths),
        query_len=torch.ones_like(lengths),
        block_table=block_table(DEVICE),
        req=torch.tensor([REQUESTS], dtype=torch.int32, device=DEVICE),
    )

    def decode() -> None:
        step.emit()
        tokens.copy_(model(tokens, step.slot_mapping[:REQUESTS]))
        lengths.add_(1)

    graph = captured(decode, (tokens, lengths, model.cache))
    arrived = [torch.empty(REQUESTS, dtype=torch.int64, pin_memory=True) for _ in range(STEPS)]
    events = [torch.cuda.Event() for _ in range(STEPS)]
    read = 0
    for n in range(STEPS):
        graph.replay()
        arrived[n].copy_(tokens, non_blocking=True)
        events[n].record()
        while read < n and events[read].query():
            read += 1  # an engine streams arrived[read] to its user here
        mp.audit_step()
    torch.cuda.synchronize()
    done = sum(int((row == END).sum()) for row in arrived)
    total = sum(int(row.sum()) for row in arrived)
    print(f"{STEPS} steps, {done} requests at their end, checksum {total}")


def captured(decode, state: tuple[torch.Tensor, ...]) -> torch.cuda.CUDAGraph:
    """``decode`` as a graph; ``state`` is as it was before."""
    before = [tensor.clone() for tensor in state]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            decode()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        decode()
    for tensor, old in zip(state, before, strict=True):
        tensor.copy_(old)
    torch.cuda.synchronize()
    return graph


if __name__ == "__main__":
    main()
