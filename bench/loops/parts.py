# pyright: basic
"""What both loops have: a model of a few layers that reads its metadata, and the requests."""

from __future__ import annotations

import torch

REQUESTS, PAGE, PAGES = 64, 16, 256
VOCABULARY, WIDTH, LAYERS, HEAD = 1024, 4096, 12, 64
STEPS, PROMPT, END = 40, 100, 7


class Model:
    """Next tokens from tokens and the slots of their positions; the same weights in every process."""

    def __init__(self, device: str) -> None:
        torch.manual_seed(0)
        make = {"dtype": torch.bfloat16, "device": device}
        self.embedding = torch.randn(VOCABULARY, WIDTH, **make)
        self.layers = [torch.randn(WIDTH, WIDTH, **make) / WIDTH**0.5 for _ in range(LAYERS)]
        self.cache = torch.zeros(REQUESTS * PAGES * PAGE, HEAD, **make)

    def __call__(self, tokens: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """int64[req] and int64[req] => int64[req]."""
        hidden = self.embedding[tokens]
        for layer in self.layers:
            hidden = torch.nn.functional.silu(hidden @ layer) + hidden
        self.cache[slots] = hidden[:, :HEAD]
        return (hidden @ self.embedding.T).argmax(-1)


def block_table(device: str) -> torch.Tensor:
    """int32[req, page]: every request has pages of its own."""
    pages = torch.arange(REQUESTS * PAGES, dtype=torch.int32, device=device)
    return pages.view(REQUESTS, PAGES)


def prompts(device: str) -> torch.Tensor:
    """int64[req]: the first token of each request."""
    return torch.arange(REQUESTS, device=device)
