// Calls FlashInfer's planner, whose text stands in front of this.
#include <cstring>

namespace {
struct Kind {
  using DTypeKV = uint16_t;
  using IdType = int32_t;
};
struct Variant {};
constexpr uint32_t kGroup = 4, kHead = 128;

int told(const std::exception& error, char* message) {
  std::strncpy(message, error.what(), 255);
  return -1;
}
}  // namespace

namespace flashinfer {
template <PosEncodingMode M, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f, typename V,
          typename P>
void BatchDecodeWithPagedKVCacheKernel(const P) {}
}  // namespace flashinfer

// ``room`` has ``bytes`` for the arrays; ``said`` gets the ten numbers of the plan.
extern "C" int decode_plan(
    int32_t* indptr, int requests, int kv_heads, int page, int graphs, int processors_, int blocks_, void* room,
    int64_t bytes, int64_t* said, char* message) {
  using namespace flashinfer;
  processors = processors_;
  blocks_per_processor = blocks_;
  DecodePlanInfo plan;
  try {
    auto estimate = BatchDecodeWithPagedKVCacheWorkEstimationDispatched<
        kGroup, kHead, PosEncodingMode::kNone, Variant, Kind>;
    const int failed = DecodePlan<kHead, PosEncodingMode::kNone, Variant, Kind>(
        reinterpret_cast<void*>(256), size_t(1) << 50, room, room, bytes, plan, indptr, requests,
        kv_heads * kGroup, page, graphs, nullptr, estimate);
    if (failed) return failed;
  } catch (const std::exception& error) {
    return told(error, message);
  }
  const auto numbers = plan.ToVector();
  std::copy(numbers.begin(), numbers.end(), said);
  return 0;
}

// The same for queries of several tokens, always under CUDA graphs; the fifteen numbers of the plan.
extern "C" int prefill_plan(
    int32_t* qo_indptr, int32_t* kv_indptr, int rows, int requests, int kv_heads, int group, int page, int window,
    int processors_, void* room, int64_t bytes, int64_t* said, char* message) {
  using namespace flashinfer;
  processors = processors_;
  PrefillPlanInfo plan;
  try {
    const int failed = PrefillPlan<int32_t>(
        reinterpret_cast<void*>(256), size_t(1) << 50, room, room, bytes, plan, qo_indptr, kv_indptr, rows, requests,
        kv_heads * group, kv_heads, kHead, kHead, page, true, 2, window, -1, false, 0, 0, nullptr);
    if (failed) return failed;
  } catch (const std::exception& error) {
    return told(error, message);
  }
  const auto numbers = plan.ToVector();
  std::copy(numbers.begin(), numbers.end(), said);
  return 0;
}
