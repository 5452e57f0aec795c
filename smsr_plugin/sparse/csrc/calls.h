// How a kernel is found and run: what all functions for Python have in common.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "checks.h"
#include "isa.h"
#include "kernels.h"
#include "parallel.h"

namespace smsr {

inline const Kernels& kernels_named(const Optional<std::string>& isa) {
  if (!isa) {
    static const Kernels& kernels = chosen();
    return kernels;
  }
  for (const Kernels* kernels : available())
    if (kernels->name == *isa) return *kernels;
  throw py::value_error("this processor has no kernels named " + *isa);
}

// Weights in float32 or, for products in bfloat16, as the bits of pairs.
inline bool are_half(const py::array& weights, const Kernels& kernels) {
  const bool half = holds_halves(weights, "weights");
  require(weights.flags() & py::array::c_style, "weights must be C-contiguous");
  require(!half || kernels.half, std::string("there are no bfloat16 products for ") + kernels.name);
  return half;
}

inline Kind kind_of_products(bool half) { return half ? Kind::halves : Kind::floats; }

// The same, or levels for products in bytes.
inline Kind weights_kind(const py::array& weights, const Kernels& kernels) {
  if (!py::isinstance<py::array_t<int8_t, 0>>(weights))
    return are_half(weights, kernels) ? Kind::halves : Kind::floats;
  require(weights.flags() & py::array::c_style, "weights must be C-contiguous");
  require(kernels.bytes, std::string("there are no products in bytes for ") + kernels.name);
  return Kind::bytes;
}

// To a multiple of what each source's inputs are rounded up in the weights of `rows` and `blend`.
inline int depth_unit(const Kernels& kernels, Kind kind) {
  if (kind == Kind::floats) return 1;
  return kind == Kind::bytes ? kCacheLine : kernels.half->matrix ? kHalfLine : 2;
}

// The weights of a 3x3 convolution at tiles of a plane of so many channels.
inline void take_weights(Tiles& p, const py::array& weights, const Kernels& kernels, Kind kind,
                         int channels) {
  const bool grouped = kind != Kind::floats;
  require(weights.ndim() == (grouped ? 5 : 4), grouped ? "weights of pairs or fours must have five dimensions"
                                                       : "weights must have four dimensions");
  if (kind == Kind::bytes || (kind == Kind::halves && kernels.half->matrix)) {
    const int line = together(kind) * kLine;
    require(weights.shape(1) <= 9 * kMaxChannels / line, "weights have too many inputs");
    const int lines = int(weights.shape(1)) / 9;
    p.k = lines * line;
    p.n = padded_channels(weights.shape(0));
    require_shape(weights, {p.n / kLine, 9 * lines, kLine, kLine, together(kind)}, "weights");
  } else {
    require(weights.shape(2) <= kMaxChannels, "weights have too many inputs");
    p.k = int(weights.shape(2)) * together(kind);
    p.n = padded_channels(weights.shape(1));
    require_weights(weights, {kFrequencies, p.n / kLine, p.k, kLine}, kind, "weights");
  }
  require(p.k > 0 && p.k % kLine == 0 && p.k <= channels,
          "weights must take a multiple of 16 channels, and no more than `in` has");
  p.weights = weights.data();
}

// Scratch memory of its kernel.
inline int64_t tiles_floats(const Tiles& p, bool half) {
  const int64_t transformed = half ? frequency_stride<Half>(p.k) / 2 : frequency_stride<float>(p.k);
  return kFrequencies * (transformed + frequency_stride<float>(p.n)) + p.n;
}

template <class Parameters>
struct Call {
  void (*kernel)(const Parameters&, int, int, float*);
  const Parameters& parameters;
};

template <class Parameters>
void run(void (*kernel)(const Parameters&, int, int, float*), const Parameters& parameters,
         int items, int grain, int threads, int64_t scratch_floats) {
  const Call<Parameters> call{kernel, parameters};
  py::gil_scoped_release release;
  parallel_for(
      items, grain, threads, scratch_floats * int64_t(sizeof(float)),
      [](const void* context, int first, int last, float* scratch) {
        const auto& call = *static_cast<const Call<Parameters>*>(context);
        call.kernel(call.parameters, first, last, scratch);
      },
      &call);
}

// Adds what networks with masks at tiles need: tile_calls.cpp, block_call.cpp.
void add_tile_calls(py::module_& m);
void add_block_call(py::module_& m);

}  // namespace smsr
