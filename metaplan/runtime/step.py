# pyright: basic
"""The bound step: buffers that never move, and one launch that fills them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metaplan import catalogue, ir
from metaplan.compiler import Built, build
from metaplan.debugging import report
from metaplan.program import Buffer
from metaplan.runtime.inputs import Slot, slots
from metaplan.target import DEFAULT
from metaplan.target import target as named

if TYPE_CHECKING:
    import torch


def make_step(
    plan: ir.Plan,
    sizes: Mapping[str, int],
    *,
    device: str,
    target: str | None,
    lag: int,
    dependent: bool = False,
    into: Mapping[str, torch.Tensor] = {},
) -> Step:
    """Compiles ``plan`` for a device; see ``Plan.compile``."""
    from metaplan import config

    settings = config.load()
    if device == "cpu" or settings.interpret:
        from metaplan.runtime.host_step import HostStep

        built = build(plan, sizes, named(target) if target else DEFAULT)
        report(plan, sizes, built, settings)
        return HostStep(built, into)
    from metaplan.runtime.device_step import DeviceStep, device_target

    where, arch = device_target(device)
    built = build(plan, sizes, named(target or arch), dependent=dependent, linked=True)
    report(plan, sizes, built, settings)
    return DeviceStep(built, where, lag, into)


class Step(ABC):
    """A compiled plan with its buffers.

    Call it with every input by name and the live number of each root axis; later calls may leave
    out what has not changed. Outputs are attributes: ``step.positions``. Nothing is allocated,
    compiled, copied back or waited for in a call.
    """

    built: Built
    outputs: Mapping[str, torch.Tensor]

    def __init__(self, built: Built) -> None:
        self.built = built
        self.arguments: dict[str, Slot] = slots(built.bound, built.placed)
        self.closed = False

    def __getattr__(self, name: str) -> torch.Tensor:
        outputs = self.__dict__.get("outputs", {})
        if name in outputs:
            return outputs[name]
        raise AttributeError(f"{type(self).__name__} has no output or attribute {name}")

    @abstractmethod
    def __call__(self, **inputs: Any) -> None:
        """Fills every buffer: ``bind`` what is given, then launch on the current stream.

        Raises:
            CallError: an argument is missing, unknown, or not what the plan declares; nothing was
                launched and no buffer was touched.
        """

    @abstractmethod
    def bind(self, **inputs: Any) -> Step:
        """Takes inputs for the calls that follow; device tensors are read where they are."""

    @abstractmethod
    def emit(self) -> None:
        """Records the launch into the CUDA graph that is being captured on the current stream.

        Where nothing is being captured it launches as a call does; but a plan that changes states does nothing
        then: running a function to warm it up before its capture changes none.
        """

    @abstractmethod
    def stage(self, **inputs: Any) -> None:
        """Sends host inputs for a recorded step: before each replay, on the replaying stream."""

    @abstractmethod
    def send(self, **values: Any) -> None:
        """Launches with new values of host inputs that are bound: a call without a single check.

        For a caller that makes the values itself. An array or list may be shorter than what is bound; what lies
        behind it is of the call before.
        """

    @abstractmethod
    def flags(self) -> dict[str, int]:
        """How often the data broke a promise, by line of the plan. Waits for the GPU."""

    def close(self) -> None:
        """Gives the buffers back; the step cannot be called any more."""
        self.closed = True
        self.outputs = {}

    def _written(self) -> list[Buffer]:
        """The plan's outputs among the buffers of its launches."""
        names = {output.name for output in self.built.bound.outputs}
        return [buffer for buffer in self.built.program.buffers if buffer.name in names]

    def _open(self) -> None:
        if self.closed:
            raise catalogue.released(self.built.bound.name)

    def _known(self, inputs: Mapping[str, Any]) -> None:
        plan = self.built.bound
        for name in inputs:
            if name in self.built.exact:
                raise catalogue.exact_size_given(plan.name, name, plan.size(name))
            if name not in self.arguments:
                raise catalogue.unknown_argument(plan.name, name, self.arguments)

    # ------------------------------------------------------- what it is

    @property
    def launches(self) -> int:
        """Kernel launches of one call."""
        return len(self.built.program.kernels)

    @property
    def source(self) -> str:
        """The kernels' text."""
        return self.built.source

    def explain(self) -> str:
        """Launches, grids, buffers with bytes, and the reason of each choice."""
        return self.built.explain()

    def explain_json(self) -> dict[str, object]:
        """The same for machines."""
        return self.built.explain_json()
