"""What the driver's and the runtime's calls are: waits, allocations, launches; CUDA's and HIP's."""

from __future__ import annotations

WAITS = frozenset(
    {
        *("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize"),
        *("cudaMemcpy", "cudaMemcpy2D", "cudaMemcpyWithStream"),
        *("cuCtxSynchronize", "cuStreamSynchronize", "cuEventSynchronize"),
        *("cuMemcpyHtoD", "cuMemcpyDtoH", "cuMemcpyDtoD", "cuMemcpy"),
        # What the profiler calls the waits of libraries that ask the driver itself.
        *("Context Sync", "Stream Sync", "Event Sync"),
    }
)
ALLOCATIONS = frozenset(
    {
        *("cudaMalloc", "cudaFree", "cudaMallocHost", "cudaHostAlloc", "cudaFreeHost"),
        *("cudaMallocManaged", "cudaMallocAsync", "cudaFreeAsync", "cudaHostRegister"),
        *("cuMemAlloc", "cuMemFree", "cuMemHostAlloc", "cuMemFreeHost", "cuMemCreate", "cuMemMap"),
        *("cuModuleLoadData", "cuModuleLoadDataEx", "cuLibraryLoadData"),
    }
)


def plain(name: str) -> str:
    """cuMemAlloc_v2 => cuMemAlloc, hipMalloc => cudaMalloc."""
    head, _, tail = name.partition("_v")
    name = head if tail.isdigit() else name
    return f"cuda{name[3:]}" if name.startswith("hip") else name


def is_wait(name: str) -> bool:
    return plain(name) in WAITS


def is_allocation(name: str) -> bool:
    return plain(name) in ALLOCATIONS


def is_graph_launch(name: str) -> bool:
    return "GraphLaunch" in name


def is_launch(name: str) -> bool:
    """Of one kernel."""
    return "LaunchKernel" in name or "LaunchCooperative" in name
