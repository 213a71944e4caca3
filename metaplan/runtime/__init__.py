"""What happens at a step: buffers, staging, launches.

Nothing is imported here; each module imports torch and triton only where it is used.

    layout.py    Field, Layout, pack(fields, align, gap): named arrays at fixed offsets of one block
    buffers.py   allocate(fields, device) -> Buffers: one arena, views by name, addresses for ever
    compiled.py  compile_kernel(fn, types, constants, ...) -> Kernel: ahead of time, unspecialised
    launch.py    Launch(kernel, grid, arguments); Sequence(launches, device, ring, way): launch,
                 record, rebind
    ways.py      the ways behind a sequence, each a bare function in the end
    arguments.py what a driver call takes, packed once
    entry.py     a kernel loaded on a device, with everything that one launch of it takes
    driver.py    the few driver functions that a step needs, through ctypes
    graphs.py    a sequence as a driver graph, one per staging slot
    streams.py   the current stream, read as cheaply as torch allows
    staging.py   Ring: host arrays and integers reach a device block with one copy a step
    movers.py    who carries a slot to the device: plain memory, torch, or the driver
    pull.py      or a kernel that fetches it
"""
