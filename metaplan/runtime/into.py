# pyright: basic
"""Outputs in buffers of the caller's: those that an engine's own code reads already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from metaplan import catalogue
from metaplan.program import Buffer
from metaplan.runtime.buffers import LEAST
from metaplan.runtime.inputs import is_tensor

if TYPE_CHECKING:
    import torch


def taken(
    plan: str, outputs: Sequence[Buffer], into: Mapping[str, torch.Tensor], device: torch.device
) -> dict[str, torch.Tensor]:
    """The part of each tensor that is its output, zeroed; nothing is written unless all of them are right.

    Raises:
        CallError: one is not an output's, cannot be written as the kernels write, or lies on another.
    """
    known = {output.name: output for output in outputs}
    for name, tensor in into.items():
        if name not in known:
            raise catalogue.into_unknown(plan, name, known)
        if not is_tensor(tensor):
            raise catalogue.into_no_tensor(name, f"a {type(tensor).__name__}")
        _check(known[name], tensor, device)
    views = {name: tensor[: known[name].shape[0]] for name, tensor in into.items()}
    _check_apart(views)
    for view in views.values():
        view.zero_()
    return views


def _check(output: Buffer, tensor: torch.Tensor, device: torch.device) -> None:
    name, shape = output.name, tuple(tensor.shape)
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype != output.dtype:
        raise catalogue.wrong_dtype(name, output.dtype, dtype)
    if tensor.device != device:
        raise catalogue.into_elsewhere(name, str(device), str(tensor.device))
    if shape[1:] != output.shape[1:] or shape[:1] < output.shape[:1]:
        raise catalogue.wrong_shape(name, f"{output.dtype}{list(output.shape)}", shape)
    if not tensor.is_contiguous():
        raise catalogue.into_strided(name, tuple(tensor.stride()))
    if tensor.data_ptr() % LEAST:
        raise catalogue.into_misaligned(name, LEAST)


def _check_apart(views: Mapping[str, torch.Tensor]) -> None:
    """Programs write outputs in no order: no two of them may share memory."""
    spans = sorted(
        (view.data_ptr(), view.data_ptr() + view.numel() * view.element_size(), name)
        for name, view in views.items()
    )
    for (_, end, one), (start, _, other) in pairwise(spans):
        if start < end:
            raise catalogue.into_overlapping(one, other)
