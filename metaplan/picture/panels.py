"""The five panels: requests, page table, tokens, window lists and the pool of pages."""

from __future__ import annotations

from metaplan.picture.cells import FILLS, SOFT, STEM, Sheet
from metaplan.picture.snapshot import Snapshot

LABELS = 7.6  # cells kept free at the left of a strip for its name


def heading(sheet: Sheet, x: float, y: float, title: str, lesson: str) -> None:
    """A panel's title and the one sentence that it teaches."""
    sheet.text(x, y, title, size=12.5, bold=True)
    sheet.text(x, y + 0.85, lesson, size=9.5, color=SOFT)


def fill(request: int) -> str:
    """The colour of a request, the same in every panel."""
    return FILLS[request % len(FILLS)]


def _name(sheet: Sheet, x: float, y: float, name: str) -> None:
    sheet.text(x + LABELS - 0.4, y + 0.5, name, size=10, align="right", mono=True)


def _cut(sheet: Sheet, x: float, y: float, value: object) -> None:
    """A value that stands on the cut between two cells, not in a cell."""
    sheet.text(x, y + 0.5, str(value), align="center", mono=True, color=STEM)
    sheet.line(x, y + 0.85, x, y + 1.15, color=STEM)


def requests(sheet: Sheet, x: float, y: float, step: Snapshot) -> None:
    """int32[req] strips and the cuts between them."""
    capacity, left = len(step.seq_lens), x + LABELS
    heading(
        sheet, x, y, "1  Requests", "One column a request. Grey: capacity beyond the live rows."
    )
    inputs = {
        "num_tokens": step.num_tokens,
        "num_rejected": step.num_rejected,
        "query_len": step.query_len,
    }
    for row, (name, values) in enumerate(inputs.items()):
        at = y + 1.6 + row
        _name(sheet, x, at, name)
        for column in range(capacity):
            if column < step.requests:
                sheet.cell(left + column, at, values[column], fill(column))
            else:
                sheet.tail(left + column, at)
    at = y + 5.0
    _name(sheet, x, at, "seq_lens")
    for column, value in enumerate(step.seq_lens):
        if column < step.requests:
            sheet.cell(left + column, at, value, fill(column))
        else:
            sheet.tail(left + column, at, value)
    sheet.text(left + capacity + 0.4, at + 0.3, "num_tokens - num_rejected", size=8, color=SOFT)
    sheet.text(left + capacity + 0.4, at + 0.8, "tail: 0", size=8, color=SOFT)
    sheet.text(left + capacity + 0.4, y + 3.1, "inputs", size=8, color=SOFT)


def page_table(sheet: Sheet, x: float, y: float, step: Snapshot, follow: int) -> None:
    """int32[req, page]: which page of the pool holds positions c*page .. c*page + page - 1."""
    request = step.request_of(follow)
    column = int(step.positions[follow]) // step.page
    heading(
        sheet, x, y, "2  page_table",
        f"Column c: the page with positions {step.page}c to {step.page}c + {step.page - 1}.",
    )  # fmt: skip
    for row in range(step.requests):
        sheet.text(x + 2.6, y + 2.1 + row, f"req {row}", size=10, align="right", mono=True)
        for at, value in enumerate(step.page_table[row]):
            if at < step.pages_of(row):
                sheet.cell(x + 3 + at, y + 1.6 + row, value, fill(row))
            else:
                sheet.tail(x + 3 + at, y + 1.6 + row, value)
    sheet.outline(x + 3 + column, y + 1.6 + request)


def tokens(sheet: Sheet, x: float, y: float, step: Snapshot, follow: int) -> None:
    """int64[tok] strips under the cuts that cu_seqlens_q makes."""
    capacity, left = len(step.positions), x + LABELS
    heading(
        sheet, x, y, "3  Query tokens",
        "query_len tokens a request, packed; cu_seqlens_q is the exclusive sum: the cuts between requests.",
    )  # fmt: skip
    _name(sheet, x, y + 1.45, "cu_seqlens_q")
    for at, value in enumerate(step.cu_seqlens[: step.requests + 1]):
        _cut(sheet, left + value, y + 1.45, value)
        if at < step.requests:
            middle = left + value + 0.5 * step.query_len[at]
            sheet.text(middle, y + 2.32, f"req {at}", size=8, align="center", color=SOFT)
    last = step.cu_seqlens[-1]
    sheet.text(left + capacity + 0.4, y + 1.95, f"tail: {last}", size=8, color=SOFT)
    strips = (("positions", step.positions, "0"), ("slot_mapping", step.slot_mapping, "-1"))
    for row, (name, values, tail) in enumerate(strips):
        at = y + 2.7 + row
        _name(sheet, x, at, name)
        for token, value in enumerate(values):
            if token < step.tokens:
                sheet.cell(left + token, at, value, fill(step.request_of(token)))
            else:
                sheet.tail(left + token, at, value)
        sheet.text(left + capacity + 0.4, at + 0.5, f"tail: {tail}", size=8, color=SOFT)
    sheet.outline(left + follow, y + 2.7, 1, 2)


def windows(sheet: Sheet, x: float, y: float, step: Snapshot, follow: int) -> None:
    """int32[tok, window], drawn with a token's list going down, under the token itself."""
    width, left = step.window, x + LABELS
    heading(
        sheet, x, y, "4  Window lists",
        f"The slots of the last {width} positions that each token above may attend to.",
    )  # fmt: skip
    lengths = [len(step.window_of(token)) for token in range(step.tokens)]
    for row in range(width):
        sheet.text(left - 0.4, y + 2.1 + row, f"[{row}]", align="right", mono=True, color=SOFT)
        for token in range(step.tokens):
            if row < lengths[token]:
                value = step.window_of(token)[row]
                sheet.cell(left + token, y + 1.6 + row, value, fill(step.request_of(token)))
            else:
                sheet.tail(left + token, y + 1.6 + row)
    sheet.outline(left + follow, y + 1.6, 1, lengths[follow])
    at = y + 1.8 + width
    _name(sheet, x, at, "window_indptr")
    for token in range(step.tokens + 1):
        _cut(sheet, left + token, at, step.window_indptr[token])
    sheet.text(left, at + 1.75, "Stored packed, column after column, cut at window_indptr.",
               size=9.5, color=SOFT)  # fmt: skip


def pool(sheet: Sheet, x: float, y: float, step: Snapshot, follow: int, pages: int) -> None:
    """The KV cache: pages of slots, each slot naming the position that lies in it."""
    heading(
        sheet, x, y, "5  The KV cache",
        "In each slot: the position stored there. Framed: written by this step.",
    )  # fmt: skip
    owners, written = step.owners(), {int(s) for s in step.slot_mapping[: step.tokens]}
    half = -(-pages // 2)
    for page in range(pages):
        left = x + 3 + (page // half) * (step.page + 3.6)
        at = y + 1.6 + 1.25 * (page % half)
        sheet.text(left - 0.4, at + 0.5, f"page {page}", size=9, align="right", mono=True)
        for offset in range(step.page):
            slot = page * step.page + offset
            if slot in owners:
                request, position = owners[slot]
                sheet.cell(left + offset, at, position, fill(request))
            else:
                sheet.tail(left + offset, at)
            if slot in written:
                sheet.written(left + offset, at)
            if slot == int(step.slot_mapping[follow]):
                sheet.outline(left + offset, at)


def path_of(sheet: Sheet, x: float, y: float, step: Snapshot, token: int) -> None:
    """One token's way through all the panels, in numbers."""
    request, position = step.request_of(token), int(step.positions[token])
    column, offset = divmod(position, step.page)
    page = int(step.page_table[request, column])
    first, last = (int(step.window_indptr[token + k]) for k in (0, 1))
    start = int(step.cu_seqlens[request])
    sheet.text(x, y, f"Follow token {token} (outlined)", size=12.5, bold=True, color=STEM)
    lines = (
        f"request   cuts {start} <= {token} < {step.cu_seqlens[request + 1]}, so request {request}",
        f"position  seq_len {step.seq_lens[request]} - query_len {step.query_len[request]}"
        f" + offset {token - start} = {position}",
        f"page      page_table[{request}, {position} // {step.page}] = {page}",
        f"slot      {page} * {step.page} + {position} % {step.page} = {page * step.page + offset}",
        f"window    window_indices[{first}:{last}], {last - first} slots",
    )
    for row, words in enumerate(lines):
        sheet.text(x, y + 1.15 + 0.8 * row, words, size=10, mono=True)
