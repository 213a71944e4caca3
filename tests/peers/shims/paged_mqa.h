// Launches SGLang's kernels for DeepGEMM's schedule, whose text stands in front of this; up to 2048 requests.
#ifndef __CUDACC__
namespace sglang {
uint32_t s_tile_prefix[1 << 12];
}
#endif

extern "C" int paged_mqa(
    int requests, int processors, const uint32_t* context_lens, uint32_t* schedule, void* stream) {
  using namespace sglang;
  const MetadataParams given{
      static_cast<uint32_t>(requests), static_cast<uint32_t>(processors), context_lens, schedule};
  const bool tiny = given.batch_size <= kTinyMax;
#ifdef __CUDACC__
  const auto on = static_cast<cudaStream_t>(stream);
  if (tiny)
    paged_mqa_metadata_tiny_kernel<<<1, kTinyBlock, 0, on>>>(given);
  else
    paged_mqa_metadata_small_kernel<<<1, kSmallBlock, 0, on>>>(given);
  return cudaGetLastError();
#else
  host::run(tiny ? kTinyBlock : kSmallBlock, [&] {
    tiny ? paged_mqa_metadata_tiny_kernel(given) : paged_mqa_metadata_small_kernel(given);
  });
  return 0;
#endif
}
