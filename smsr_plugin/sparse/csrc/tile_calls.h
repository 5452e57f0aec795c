// What the functions for networks with masks at tiles have in common.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <tuple>

#include "checks.h"
#include "kernels.h"

namespace smsr {

using Size = std::tuple<int, int>;
// (low, high, share)
using ResamplingTuple = std::tuple<Indices, Indices, Floats>;
// (row, first channel, weights, size of the coarse plane, that plane, down, across)
using AttentionTuple =
    std::tuple<py::array, int, py::array, Size, Floats, ResamplingTuple, ResamplingTuple>;

inline Geometry geometry_of(const Size& size) {
  return geometry_of(std::get<0>(size), std::get<1>(size));
}

// An attention but for its output.
Attend attend_of(const Size& size, const py::array& x, const AttentionTuple& attention,
                 const Kernels& kernels, bool half);

// Scratch memory of the kernels.
int64_t attend_floats(const Attend& p);
inline int64_t blend_floats(const Blend& p) {
  const int depth = std::max(p.active.depth, p.inactive.depth);
  return 2 * (int64_t(p.geometry.width) + 1) + kBlendPixels * (int64_t(p.n) + (depth + 1) / 2);
}

}  // namespace smsr
