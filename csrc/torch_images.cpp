#include "torch_images.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/core/ScalarType.h>

#include "memory_pool.h"

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Part of torch's stable ABI since 2.11; with 2.10 the weak symbol is null and results come from torch's own allocator.
extern "C" __attribute__((weak)) AOTITorchError torch_from_blob(
    void* data, int64_t ndim, const int64_t* sizes, const int64_t* strides, int64_t storage_offset, int32_t dtype,
    int32_t device_type, int32_t device_index, AtenTensorHandle* result, int32_t layout, const uint8_t* opaque_metadata,
    int64_t opaque_metadata_size, void (*deleter)(void* data, void* context), void* context);

namespace tamis {
namespace {

// Below this malloc reuses memory by itself.
constexpr int64_t smallest_pooled_bytes = int64_t(128) << 10;

void give_back(void* data, void*) { MemoryPool::give(data); }

}  // namespace

bool has_format(const Tensor& t, Format format) {
  static constexpr int order[3][4] = {{0, 1, 2, 3}, {1, 2, 3, 0}, {0, 2, 3, 1}};
  int64_t expected = 1;
  for (int i = 3; i >= 0; --i) {
    const int d = order[int64_t(format)][i];
    if (t.size(d) != 1 && t.stride(d) != expected) return false;
    expected *= t.size(d);
  }
  return true;
}

std::optional<Format> format_of(const Tensor& t) {
  for (Format f : {Format::nchw, Format::chwn, Format::nhwc})
    if (has_format(t, f)) return f;
  return std::nullopt;
}

Tensor fresh(const Tensor& source, Format format, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t strides_of[3][4] = {{c * h * w, h * w, w, 1}, {1, h * w * n, w * n, n}, {h * w * c, 1, w * c, c}};
  const int64_t* strides = strides_of[int64_t(format)];
  const int64_t sizes[4] = {n, c, h, w}, floats = n * c * h * w;
  AtenTensorHandle handle;
  if (torch_from_blob && floats * 4 >= smallest_pooled_bytes) {
    void* data = MemoryPool::take(size_t(floats) * sizeof(float));
    STD_TORCH_CHECK(data, "tamis: not enough memory for a result of ", floats, " floats");
    const AOTITorchError error =
        torch_from_blob(data, 4, sizes, strides, 0, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), -1, &handle,
                        aoti_torch_layout_strided(), nullptr, 0, give_back, nullptr);
    if (error != AOTI_TORCH_SUCCESS) MemoryPool::give(data);
    STD_TORCH_CHECK(error == AOTI_TORCH_SUCCESS, "tamis: torch made no tensor of pooled memory");
    return Tensor(handle);
  }
  Tensor flat = torch::stable::new_empty(source, {floats});
  STD_TORCH_CHECK(aoti_torch__reinterpret_tensor(flat.get(), 4, sizes, strides, 0, &handle) == AOTI_TORCH_SUCCESS,
                  "tamis: torch made no view of a result");
  return Tensor(handle);
}

Tensor fresh_like(const Tensor& source, Format format) {
  return fresh(source, format, source.size(0), source.size(1), source.size(2), source.size(3));
}

Tensor like(const Tensor& source, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t pixels = source.size(2) * source.size(3);
  const bool images_first = source.size(0) > 1 && source.stride(0) == 1 && source.size(1) * pixels > 1;
  if (images_first && (pixels > 1 || source.stride(1) != 1)) return fresh(source, Format::chwn, n, c, h, w);
  const bool channels_first = source.size(1) > 1 && source.stride(1) == 1 && pixels > 1;
  return fresh(source, channels_first ? Format::nhwc : Format::nchw, n, c, h, w);
}

Images images_of(const Tensor& t) {
  STD_TORCH_CHECK(t.dim() == 4 && t.scalar_type() == ScalarType::Float, "tamis: expected a 4-d float32 tensor");
  return {static_cast<float*>(const_cast<void*>(t.const_data_ptr())), t.size(0), t.size(1), t.size(2), t.size(3),
          t.stride(0), t.stride(1), t.stride(2), t.stride(3)};
}

Parallel torch_threads() {
  return {int64_t(torch::stable::get_num_threads()),
          [](int64_t tasks, void* context, void (*body)(void*, int64_t, int64_t)) {
            torch::stable::parallel_for(0, tasks, 1, [=](int64_t begin, int64_t end) { body(context, begin, end); });
          }};
}

}  // namespace tamis
