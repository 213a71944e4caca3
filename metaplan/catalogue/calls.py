"""What compile() and a step cannot take; nothing has been launched when one of these is raised."""

from __future__ import annotations

from collections.abc import Iterable

from metaplan.catalogue.words import listed
from metaplan.errors import CallError


def missing_sizes(plan: str, names: Iterable[str]) -> CallError:
    wanted = list(names)
    return CallError(
        f"{plan} needs a capacity for {listed(wanted)}",
        hint=f"compile({', '.join(f'{n}=...' for n in wanted)})",
    )


def unknown_size(plan: str, name: str, known: Iterable[str]) -> CallError:
    return CallError(
        f"{plan} has no axis or dimension called {name}", hint=f"it has: {listed(known)}"
    )


def unknown_name(call: str, kind: str, name: str, known: Iterable[str]) -> CallError:
    return CallError(f"{call}: no {kind} is called {name}", hint=f"there are: {listed(known)}")


def bad_size(name: str, value: object) -> CallError:
    return CallError(
        f"the capacity of {name} is {value!r}", hint="give a whole number from 1 to 2147483647"
    )


def exact_size_of_no_root(name: str, roots: Iterable[str]) -> CallError:
    return CallError(
        f"{name} is no root axis, so that nothing says how many of its points are live",
        hint=f"give its capacity as a number; mp.exactly is for: {listed(roots)}",
    )


def unknown_target(name: str, known: Iterable[str]) -> CallError:
    return CallError(f"unknown target {name}", hint=f"one of: {listed(known)}")


def no_device(device: str) -> CallError:
    return CallError(
        f"device {device} is not available in this process",
        hint='compile(device="cpu") runs the same plan in NumPy',
    )


def unknown_argument(plan: str, name: str, known: Iterable[str]) -> CallError:
    return CallError(f"{plan} has no input {name}", hint=f"its inputs: {listed(known)}")


def exact_size_given(plan: str, name: str, count: int) -> CallError:
    return CallError(
        f"{name} never changes: {plan} was compiled for exactly {count}",
        hint=f"leave {name} out: every step takes all {count} rows, those of padding too;"
        f" or compile({name}={count}), which takes how many are live",
    )


def missing_arguments(plan: str, names: Iterable[str]) -> CallError:
    return CallError(
        f"{plan} was called without {listed(names)}",
        hint="pass every input by name, and the live number of each root axis",
    )


def wrong_type(name: str, shape: str, got: str) -> CallError:
    what = "a torch tensor on the step's device, or an array if the plan says mp.HOST"
    if shape.endswith("[1]"):
        what = "a whole number, or a tensor on the step's device"
    return CallError(f"{name} is {got}", hint=f"pass {shape}: {what}")


def wrong_dtype(name: str, want: str, got: str) -> CallError:
    return CallError(
        f"{name} is {got}, the plan declares {want}",
        hint=f"make it {want} once, outside the loop",
    )


def wrong_shape(name: str, want: str, got: tuple[int, ...]) -> CallError:
    return CallError(
        f"{name} has shape {list(got)}, the plan needs {want}", hint="pass a view of that shape"
    )


def too_long(name: str, got: tuple[int, ...], most: tuple[int, ...]) -> CallError:
    return CallError(
        f"{name} has shape {list(got)}, and the step has room for {list(most)} from the host",
        hint="pass the live part of it; or compile for more, which then travels each step",
    )


def wrong_device(name: str, want: str, got: str) -> CallError:
    return CallError(
        f"{name} is on {got}, the step runs on {want}",
        hint="move it once, outside the loop; or declare it mp.HOST to have it staged",
    )


def not_contiguous(name: str, stride: tuple[int, ...]) -> CallError:
    return CallError(
        f"{name} has strides {list(stride)}; its last dimension must be contiguous",
        hint=f"pass {name}.contiguous(), made once, outside the loop",
    )


def into_unknown(plan: str, name: str, outputs: Iterable[str]) -> CallError:
    return CallError(
        f"{plan} has no output {name} to write into", hint=f"its outputs: {listed(outputs)}"
    )


def into_no_tensor(name: str, got: str) -> CallError:
    return CallError(
        f"{name} is to be written into {got}",
        hint="give compile(into=...) a torch tensor for each output",
    )


def into_elsewhere(name: str, want: str, got: str) -> CallError:
    return CallError(
        f"{name} is to be written on {got}, the step runs on {want}",
        hint=f"give compile(into=...) a tensor on {want}, or leave {name} out",
    )


def into_strided(name: str, stride: tuple[int, ...]) -> CallError:
    return CallError(
        f"{name} is to be written with strides {list(stride)}, and outputs are contiguous",
        hint="give compile(into=...) a whole tensor, or its first rows",
    )


def into_misaligned(name: str, bytes: int) -> CallError:
    return CallError(
        f"{name} does not begin at a multiple of {bytes} bytes, the widest store of a kernel",
        hint="give compile(into=...) a tensor from its beginning, as torch allocates it",
    )


def into_overlapping(one: str, other: str) -> CallError:
    return CallError(
        f"{one} and {other} are to be written into the same memory",
        hint="give each output of compile(into=...) memory of its own",
    )


def rows_too_far(name: str, stride: tuple[int, ...]) -> CallError:
    return CallError(
        f"{name} has strides {list(stride)}: its last rows are 2**31 elements away, or further",
        hint="pass a view of a smaller tensor; addresses are int32 where the declared sizes fit",
    )


def size_above_capacity(axis: str, live: int, capacity: int) -> CallError:
    return CallError(
        f"{axis}={live} is above the capacity {capacity}",
        hint=f"compile({axis}={live}) or more; capacities are fixed there",
    )


def bad_live_size(axis: str, got: str) -> CallError:
    return CallError(
        f"the live number of {axis} is {got}",
        hint=f"pass {axis}=n, a whole number from 0, or an int32[1] tensor on the device",
    )


def value_out_of_range(name: str, value: int, lo: int, hi: int) -> CallError:
    return CallError(
        f"{name} holds {value}, outside its declared range [{lo}, {hi}]",
        hint="the plan's bounds were proved from that range: pass values inside it, or declare a wider one",
    )


def repeated(name: str, value: int) -> CallError:
    return CallError(
        f"{name} holds {value} twice, and the plan declares it mp.DISTINCT: no order is kept between the two",
        hint="give each row an element of its own, and a negative number to those that have none",
    )


def rebound_after_emit(names: Iterable[str]) -> CallError:
    return CallError(
        f"{listed(names)} moved after this step was recorded into a graph, which would go on reading the old tensor",
        hint="keep the tensor that was recorded and write into it, or compile a second step",
    )


def emit_before_bind(plan: str) -> CallError:
    return CallError(
        f"{plan} was emitted before its inputs were bound",
        hint="step.bind(name=tensor, ...) first; the graph records those addresses",
    )


def released(plan: str) -> CallError:
    return CallError(f"this step of {plan} was closed", hint="compile it again")


def too_far_ahead(lag: int) -> CallError:
    return CallError(
        f"the host is more than {lag} steps ahead of the device",
        hint=f"compile with a lag above {lag}, or read a result of an earlier step",
    )


def not_an_argument(name: str, got: str) -> CallError:
    return CallError(
        f"{name} is a {got}: a kernel takes tensors and integers",
        hint=f"pass {name} as a tensor on the step's device",
    )


def audit_without_gpu() -> CallError:
    return CallError(
        "a sync audit needs a GPU, and this machine has none",
        hint="run it where the step runs; on a CPU nothing can wait for a GPU",
    )


def still_watching() -> CallError:
    return CallError(
        "the region is still being watched, so there is no report",
        hint="read watched.report after the with block",
    )


def all_steps_skipped(steps: int, skip: int) -> CallError:
    return CallError(
        f"{steps} steps were marked and {skip} are to be skipped, which leaves none",
        hint="run more steps, or skip fewer; n + 1 marks make n steps",
    )


def trace_without_gpu(name: str) -> CallError:
    return CallError(
        f"{name} has no work of a GPU: there was none to wait for",
        hint="record it where the steps run on a GPU, with the profiler's CUDA activity",
    )


def no_such_trace(path: str) -> CallError:
    return CallError(f"there is no file {path}", hint="write the path from this folder")


def not_a_trace(path: str) -> CallError:
    return CallError(
        f"{path} is no trace of torch's profiler",
        hint="write it with export_chrome_trace, watched.save or metaplan audit --save",
    )


def no_such_script(path: str) -> CallError:
    return CallError(
        f"there is no script {path}",
        hint="write the path from this folder; what is behind -- goes to the script",
    )


def unknown_finding(word: str, known: Iterable[str]) -> CallError:
    return CallError(f"--fail-on {word} is nothing to find", hint=f"one of: {listed(known)}")


def called_in_capture() -> CallError:
    return CallError(
        "a step was called on a stream that is being captured",
        hint="call step.emit() inside the capture, and stage host inputs before each replay",
    )
