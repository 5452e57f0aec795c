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

// To a multiple of what each source's inputs are rounded up in the weights of `rows` and `blend`.
inline int depth_unit(const Kernels& kernels, bool half) {
  return !half ? 1 : kernels.half->matrix ? kHalfLine : 2;
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

// Adds what networks with masks at tiles need: tile_calls.cpp.
void add_tile_calls(py::module_& m);

}  // namespace smsr
