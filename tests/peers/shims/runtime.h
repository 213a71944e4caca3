// What FlashInfer's planner asks of the CUDA runtime, answered for a GPU that is described by two numbers.
#pragma once
#include <algorithm>
#include <cstdint>
#include <limits>
#include <sstream>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__

using cudaError_t = int;
using cudaStream_t = void*;
enum { cudaSuccess = 0 };
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxSharedMemoryPerBlockOptin
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice };

static int processors, blocks_per_processor;

static cudaError_t cudaGetDevice(int* device) { return *device = 0; }
static cudaError_t cudaMemcpyAsync(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t) { return 0; }
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int, size_t) {
  *blocks = blocks_per_processor;
  return cudaSuccess;
}
static cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  const int answers[] = {processors, 9, 0, 227 << 10};
  *value = answers[which];
  return cudaSuccess;
}

template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? b : a;
}

#define FLASHINFER_CUDA_CALL(call) \
  if (cudaError_t error = (call)) return error
#define DISPATCH_COMPUTE_CAP_DECODE_NUM_STAGES_SMEM(capacity, STAGES, ...) \
  {                                                                        \
    constexpr uint32_t STAGES = 2;                                         \
    (void)capacity;                                                        \
    __VA_ARGS__                                                            \
  }

namespace flashinfer {
enum class PosEncodingMode { kNone };
}
