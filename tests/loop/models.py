# pyright: basic
"""A model whose next token depends on everything in a row's KV cache, and a plain loop of it.

The cache holds a number for each token; a token is sampled from the position-weighted sum of the numbers that the row's
pages and length name. A page that is not the row's, a slot written twice or a length that is off changes the tokens.
"""

from __future__ import annotations

import torch

import metaplan as mp

WORDS = 97


def mix(token, position):
    """The number that a token leaves in the cache."""
    return (token * 31 + position * 17 + 7) % 1009


class Memory:
    """The model over a paged cache, at any number of queries a row."""

    def __init__(
        self, *, pages: int, page: int, device: str = "cpu", words: int = WORDS, drafts: int = 0
    ) -> None:
        self.page = page
        self.cache = torch.full((pages * page + 1,), 555, dtype=torch.int64, device=device)
        self.words, self.drafts = words, drafts

    def __call__(self, batch: mp.Batch):
        rows, queries = batch.rows, batch.queries
        slots = batch.slot_mapping
        # -1 goes to the cell behind the last page, which nobody reads.
        self.cache[torch.where(slots < 0, self.cache.numel() - 1, slots)] = mix(
            batch.input_ids, batch.positions
        )
        width = batch.block_table.shape[1] * self.page
        place = torch.arange(width, device=slots.device)
        cell = batch.block_table.long()[:, place // self.page] * self.page + place % self.page
        held = self.cache[cell]
        end = batch.positions.view(rows, queries) + 1
        seen = place < torch.minimum(end, batch.seq_lens.view(-1, 1)).unsqueeze(2)
        weight = place % 13 + 1
        total = torch.where(seen, (held * weight).unsqueeze(1), 0).sum(2)
        batch.release()
        tokens = total % self.words
        if not self.drafts:
            return tokens
        # Guesses, right by chance: the fewer words, the more of them hold.
        step = torch.arange(1, self.drafts + 1, device=slots.device)
        return mp.Sampled(tokens, drafts=(tokens[:, -1:] * 5 + step * 3) % self.words)


def plain(prompt: list[int], most: int, stop=(), words: int = WORDS) -> list[int]:
    """The tokens of one request, one by one, with a running sum for a cache; the first is the prompt's own."""
    total = sum(mix(token, at) * (at % 13 + 1) for at, token in enumerate(prompt))
    out = [total % words]
    while len(out) < most and out[-1] not in stop:
        at = len(prompt) + len(out) - 1
        total += mix(out[-1], at) * (at % 13 + 1)
        out.append(total % words)
    return out


def prefill(model: Memory, request: mp.Request, prompt: list[int]) -> torch.Tensor:
    """Writes a prompt's numbers into the request's pages; the token behind it, int64[1], on the device."""
    slots = torch.as_tensor(request.slots(0, len(prompt)), device=model.cache.device)
    place = torch.arange(len(prompt), device=slots.device)
    values = mix(torch.tensor(prompt, device=slots.device), place)
    model.cache[slots] = values
    return (values * (place % 13 + 1)).sum().view(1) % model.words
