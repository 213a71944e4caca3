"""docs/performance.md without what is generated: where a new one starts."""

SKELETON = """# Performance

What a step costs, beside every other way to fill the same buffers. All sides of a row ran in one process on one
machine, and each was compared with the oracle, every cell of every buffer, before it was timed: a side that was wrong
has no time here.

<!-- generated: machine -->
<!-- end -->

CPU: the median host time of a call in a loop that does not wait for the GPU. GPU: the time of one call inside a CUDA
graph of many. Lengths are uniform in 100..16384 (512 pages a row for the engine's step), pages lie anywhere, some drafts
were rejected. "Compiled for the batch" means that the capacity is the batch, as every rival is used; "one plan for all"
that the capacity is 1024 requests (4096 beyond) of 8 query tokens whatever the batch.

## What we set out to reach

<!-- generated: targets -->
<!-- end -->

## GPU time

![GPU time](figures/gpu_time.png)

<!-- generated: gpu -->
<!-- end -->

## CPU time

![CPU time](figures/cpu_time.png)

<!-- generated: cpu -->
<!-- end -->

## Beside the engines

What an engine's own functions do, unmodified and called as its builder calls them -> what the plan does that replaces
them, a bound step; in brackets ours over theirs. "From the host": our CPU time where the live sizes come from the host
at each call instead of lying on the device. Where the engine's call waits or stages, no graph takes it; GPU time (*) is
then the sum of what ran on the device, on both sides.

<!-- generated: peers -->
<!-- end -->

## What one plan for all batches costs

<!-- generated: capacity -->
<!-- end -->

## Towards the memory's bandwidth

<!-- generated: bandwidth -->
<!-- end -->

## Launches, copies, waits

<!-- generated: counts -->
<!-- end -->

## Compiling

<!-- generated: compile -->
<!-- end -->

## Decode loops

What each of these loops is, what was claimed of it and what may be compared: [loops.md](loops.md).

### The GPU's idle share

<!-- generated: idle -->
<!-- end -->

### What a step asks of the driver

<!-- generated: watched -->
<!-- end -->

### Accepted drafts

<!-- generated: accepted -->
<!-- end -->

### DeepSeek-V4's preparation

<!-- generated: preparation -->
<!-- end -->

### Token generation through transformers

<!-- generated: ladder -->
<!-- end -->

### An hour of traffic

Every request of an hour through `mp.Loop` and a model that notices a wrong cache, its tokens beside a plain loop's.

<!-- generated: soak -->
<!-- end -->

## On real traffic

<!-- generated: traces -->
<!-- end -->

## What has no result

<!-- generated: wrong -->
<!-- end -->
"""
