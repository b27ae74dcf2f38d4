#include "torch_images.h"

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/ops.h>
#include <torch/headeronly/core/ScalarType.h>

#include "pool.h"

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

struct Strides {
  int64_t of[4];
};

Strides format_of(const Tensor& source, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t pixels = source.size(2) * source.size(3);
  if (source.size(0) > 1 && source.stride(0) == 1 && source.size(1) * pixels > 1 && (pixels > 1 || source.stride(1) != 1))
    return {{1, h * w * n, w * n, n}};
  if (source.size(1) > 1 && source.stride(1) == 1 && pixels > 1) return {{h * w * c, 1, w * c, c}};
  return {{c * h * w, h * w, w, 1}};
}

void give_back(void* data, void*) { Pool::give(data); }

}  // namespace

Images images_of(const Tensor& t) {
  STD_TORCH_CHECK(t.dim() == 4 && t.scalar_type() == ScalarType::Float, "tamis: expected a 4-d float32 tensor");
  return {static_cast<float*>(const_cast<void*>(t.const_data_ptr())), t.size(0), t.size(1), t.size(2), t.size(3),
          t.stride(0), t.stride(1), t.stride(2), t.stride(3)};
}

Tensor like(const Tensor& source, int64_t n, int64_t c, int64_t h, int64_t w) {
  const Strides strides = format_of(source, n, c, h, w);
  const int64_t sizes[4] = {n, c, h, w}, floats = n * c * h * w;
  if (torch_from_blob && floats * 4 >= smallest_pooled_bytes) {
    void* data = Pool::take(size_t(floats) * sizeof(float));
    STD_TORCH_CHECK(data, "tamis: not enough memory for a result of ", floats, " floats");
    AtenTensorHandle handle;
    const AOTITorchError error =
        torch_from_blob(data, 4, sizes, strides.of, 0, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(), -1, &handle,
                        aoti_torch_layout_strided(), nullptr, 0, give_back, nullptr);
    if (error != AOTI_TORCH_SUCCESS) Pool::give(data);
    STD_TORCH_CHECK(error == AOTI_TORCH_SUCCESS, "tamis: torch made no tensor of pooled memory");
    return Tensor(handle);
  }
  Tensor flat = torch::stable::new_empty(source, {floats});
  AtenTensorHandle handle;
  STD_TORCH_CHECK(aoti_torch__reinterpret_tensor(flat.get(), 4, sizes, strides.of, 0, &handle) == AOTI_TORCH_SUCCESS,
                  "tamis: torch made no view of a result");
  return Tensor(handle);
}

}  // namespace tamis
