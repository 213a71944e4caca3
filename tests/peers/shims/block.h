// A block of CUDA threads on a host without a GPU: each thread is a fiber, and a barrier lets the others run.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static

struct Place {
  unsigned x = 0, y = 0, z = 0;
};
static Place threadIdx, blockIdx, blockDim;

template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return a < b ? b : a;
}

template <class T>
T __ldg(const T* at) {
  return *at;
}

namespace host {

struct Gate {
  unsigned arrived = 0, turn = 0;
};

static ucontext_t scheduler;
static std::vector<ucontext_t> fibers;
static std::vector<Gate> warps;
static std::vector<uint64_t> lanes;
static Gate whole;
static std::function<void()> body;
static unsigned running;
static std::vector<bool> finished;

static void wait(Gate& gate, unsigned count) {
  const unsigned turn = gate.turn;
  if (++gate.arrived == count) {
    gate.arrived = 0;
    ++gate.turn;
  }
  while (gate.turn == turn) swapcontext(&fibers[threadIdx.x], &scheduler);
}

static void enter() {
  body();
  finished[threadIdx.x] = true;
  --running;
}

static void run(unsigned threads, std::function<void()> kernel) {
  constexpr size_t kStack = 64 << 10;
  std::vector<char> stacks(threads * kStack);
  body = std::move(kernel);
  blockDim.x = running = threads;
  whole = Gate{};
  fibers.assign(threads, ucontext_t{});
  finished.assign(threads, false);
  warps.assign((threads + 31) / 32, Gate{});
  lanes.assign(threads, 0);
  for (unsigned t = 0; t < threads; ++t) {
    getcontext(&fibers[t]);
    fibers[t].uc_stack.ss_sp = stacks.data() + t * kStack;
    fibers[t].uc_stack.ss_size = kStack;
    fibers[t].uc_link = &scheduler;
    makecontext(&fibers[t], enter, 0);
  }
  while (running)
    for (unsigned t = 0; t < threads; ++t)
      if (!finished[t]) {
        threadIdx.x = t;
        swapcontext(&scheduler, &fibers[t]);
      }
}

template <class T>
T lane(T value, unsigned from) {
  const unsigned first = threadIdx.x / 32 * 32;
  lanes[threadIdx.x] = static_cast<uint64_t>(value);
  wait(warps[first / 32], 32);
  const T found = static_cast<T>(lanes[first + from % 32]);
  wait(warps[first / 32], 32);
  return found;
}

}  // namespace host

static inline void __syncthreads() { host::wait(host::whole, blockDim.x); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return host::lane(value, (threadIdx.x % 32) ^ mask);
}

template <class T>
T __shfl_up_sync(unsigned, T value, int by) {
  const int own = threadIdx.x % 32;
  return host::lane(value, own < by ? own : own - by);
}

template <class T>
T __shfl_sync(unsigned, T value, int from) {
  return host::lane(value, from);
}

namespace cub {

enum BlockScanAlgorithm { BLOCK_SCAN_WARP_SCANS };

template <class T, int kThreads, BlockScanAlgorithm>
struct BlockScan {
  struct TempStorage {
    T sums[kThreads];
  };
  TempStorage& own;
  explicit BlockScan(TempStorage& storage) : own(storage) {}

  template <int kItems>
  void InclusiveSum(T (&in)[kItems], T (&out)[kItems], T& total) {
    T sum = 0;
    for (int k = 0; k < kItems; ++k) out[k] = sum += in[k];
    own.sums[threadIdx.x] = sum;
    __syncthreads();
    T before = 0;
    total = 0;
    for (int t = 0; t < kThreads; ++t) {
      before += t < static_cast<int>(threadIdx.x) ? own.sums[t] : 0;
      total += own.sums[t];
    }
    for (int k = 0; k < kItems; ++k) out[k] += before;
    __syncthreads();
  }
};

}  // namespace cub
