# pyright: basic
"""A decode loop as it is written first: metadata from lists, tokens fetched before the next step.

metaplan audit bench/loops/waiting.py --skip 10 --steps 8
"""

from __future__ import annotations

import torch
from parts import END, PAGE, PROMPT, REQUESTS, STEPS, Model, block_table, prompts

import metaplan as mp

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    model, pages, tokens = Model(DEVICE), block_table(DEVICE), prompts(DEVICE)
    lengths, done, total = [PROMPT] * REQUESTS, 0, 0
    rows = torch.arange(REQUESTS, device=DEVICE)
    for _ in range(STEPS):
        positions = torch.tensor(lengths, device=DEVICE)
        slots = pages[rows, positions // PAGE] * PAGE + positions % PAGE
        tokens = model(tokens, slots)
        done += len((tokens == END).nonzero())
        total += sum(tokens.tolist())
        lengths = [length + 1 for length in lengths]
        mp.audit_step()
    print(f"{STEPS} steps, {done} requests at their end, checksum {total}")


if __name__ == "__main__":
    main()
