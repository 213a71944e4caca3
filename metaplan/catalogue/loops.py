"""What a decode loop cannot take; nothing has been launched when one of these is raised."""

from __future__ import annotations

from collections.abc import Sequence

from metaplan.errors import CallError


def loop_number(name: str, value: int, least: int) -> CallError:
    return CallError(f"{name} is {value}", hint=f"give {name} a whole number from {least} on")


def loop_buckets(buckets: Sequence[int], rows: int) -> CallError:
    return CallError(
        f"buckets {tuple(buckets)} do not lie within 1..{rows}",
        hint=f"a bucket is a number of rows; this loop has rows={rows}",
    )


def loop_without_model() -> CallError:
    return CallError(
        "the loop has no model yet", hint="call loop.capture(forward) before the first request"
    )


def loop_overlap(drafts: int) -> CallError:
    why = f"with {drafts} drafts" if drafts else "with counts of the model's own"
    return CallError(
        f"overlap needs counts that no sample decides, and {why} each sample decides one",
        hint="leave out overlap=True",
    )


def loop_paging(paging: str) -> CallError:
    if paging == "device":
        return CallError(
            'fenced=True holds back pages that the host gives, and with paging="device" it gives none',
            hint="leave out fenced=True; where a prompt is written on another stream, that stream waits for "
            "this one behind request.slots()",
        )
    return CallError(f"paging is {paging!r}", hint='write paging="host" or paging="device"')


def loop_pages_unknown(row: int) -> CallError:
    return CallError(
        'with paging="device" the host does not know which pages a request has',
        hint=f"request.slots(0, n) is a tensor on the device; loop.state.block_table[{row}] has the pages there",
    )


def loop_slots_over() -> CallError:
    return CallError(
        "the request is over, and its pages may be another's",
        hint="ask for the slots of a prompt between loop.admit() and the next loop.step()",
    )


def loop_slots_beyond(stop: int, room: int) -> CallError:
    return CallError(
        f"slots up to position {stop}, and the request enters with pages for {room} tokens",
        hint="ask for those of its prompt; a step's own are in batch.slot_mapping",
    )


def loop_too_long(length: int, most: int, longest: int) -> CallError:
    return CallError(
        f"a request of {length} tokens that generates {most} more does not fit into sequences of {longest}",
        hint="give Loop a larger longest=, or the request a smaller most= (1 at least)",
    )


def loop_full(rows: int, pages: int, needs: tuple[int, int]) -> CallError:
    return CallError(
        f"no room: {rows} rows are free and {pages} pages are promised to nobody; the request needs {needs[0]} pages now, {needs[1]} in the end",
        hint="ask loop.fits(length, most) first, and keep the request waiting until it does",
    )


def loop_out_of_pages(wanted: int, free: int) -> CallError:
    return CallError(
        f"the next step needs {wanted} more pages, {free} are free",
        hint="loop.finish(request) one and admit it again later, or leave out overcommit=True",
    )


def model_returned(name: str, wanted: tuple[int, ...], got: str) -> CallError:
    return CallError(
        f"the model returned {got} as {name}",
        hint=f"return one of shape {wanted}; tokens and drafts are int64, counts int32",
    )
