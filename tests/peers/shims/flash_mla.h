// Launches SGLang's kernel for FlashMLA's schedule, whose text stands in front of this.
#ifndef __CUDACC__
namespace sglang::flashmla {
int smem[1 << 16];
}
#endif

extern "C" int flash_mla(
    int requests, int block, int overhead, int topk, int extra_topk, const int* topk_length,
    const int* extra_topk_length, const int* seqlens_k, int* schedule, int* num_splits, int parts,
    void* stream) {
  using namespace sglang::flashmla;
  const Params given{requests,  block,      overhead, topk,      extra_topk, topk_length, extra_topk_length,
                     seqlens_k, schedule,   num_splits, parts};
#ifdef __CUDACC__
  const int room = sizeof(int) * (requests * 5 + 1 + parts * kMetaInts);
  cudaFuncSetAttribute(flashmla_sched_meta_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 48 << 10);
  flashmla_sched_meta_kernel<<<1, kBlockSize, room, static_cast<cudaStream_t>(stream)>>>(given);
  return cudaGetLastError();
#else
  host::run(kBlockSize, [&] { flashmla_sched_meta_kernel(given); });
  return 0;
#endif
}
