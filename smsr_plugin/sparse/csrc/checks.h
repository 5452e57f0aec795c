// What is checked of arrays that come from Python: a bad one raises ValueError, with what was expected
// and what came.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "kernels.h"

namespace smsr {

namespace py = pybind11;

using Halves = py::array_t<Half, py::array::c_style>;
using Floats = py::array_t<float, py::array::c_style>;
using Bytes = py::array_t<uint8_t, py::array::c_style>;
using Indices = py::array_t<int32_t, py::array::c_style>;
template <class T>
using Optional = std::optional<T>;

inline void require(bool fits, const std::string& message) {
  if (!fits) throw py::value_error(message);
}

inline std::string shape_of(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i)
    text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + ")";
}

// Whether an array lies in one piece, or as some rows of every line of a plane that does: then each line
// is in one piece, and they begin with whole cache lines.
inline bool lies_in_lines(const py::array& array) {
  if (array.flags() & py::array::c_style) return true;
  if (array.ndim() != 4) return false;
  py::ssize_t piece = array.itemsize();
  for (int axis = 3; axis > 0; piece *= array.shape(axis--))
    if (array.strides(axis) != piece) return false;
  return array.strides(0) >= piece && array.strides(0) % kCacheLine == 0;
}

// Whether an array holds bfloat16; if not, it holds floats.
inline bool holds_halves(const py::array& array, const char* name) {
  const bool half = py::isinstance<py::array_t<Half, 0>>(array);
  require((half || py::isinstance<py::array_t<float, 0>>(array)) && lies_in_lines(array),
          std::string(name) + " must hold float32 or uint16, C-contiguous");
  return half;
}

// What an array holds: floats, the bits of bfloat16, or levels in bytes, without a sign or with one.
enum class Kind { floats, halves, bytes, signed_bytes };

inline Kind kind_of(const py::array& array, const char* name) {
  const auto holds = [&](auto element) { return py::isinstance<py::array_t<decltype(element), 0>>(array); };
  const bool is_signed = holds(Signed{}), bytes = is_signed || holds(Byte{}), half = holds(Half{});
  require((bytes || half || holds(float{})) && lies_in_lines(array),
          std::string(name) + " must hold float32, uint16, uint8 or int8, C-contiguous");
  return is_signed ? Kind::signed_bytes : bytes ? Kind::bytes : half ? Kind::halves : Kind::floats;
}

inline bool are_levels(Kind kind) { return kind == Kind::bytes || kind == Kind::signed_bytes; }

// C-contiguous is not enough: an array may begin at any byte of a buffer.
inline void require_aligned(const py::array& array, const char* name) {
  require(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_,
          std::string(name) + " must be aligned, as arrays are that NumPy allocates");
}

inline void require_shape(const py::array& array, const std::vector<int64_t>& shape, const char* name) {
  bool fits = array.ndim() == py::ssize_t(shape.size());
  std::string expected;
  for (size_t i = 0; i < shape.size(); ++i) {
    fits = fits && array.shape(i) == shape[i];
    expected += (i ? ", " : "") + std::to_string(shape[i]);
  }
  require(fits, std::string(name) + " must have shape (" + expected + "), got " + shape_of(array));
  require_aligned(array, name);
}

// Inputs whose weights lie together.
inline int together(Kind kind) { return kind == Kind::bytes ? 4 : kind == Kind::halves ? 2 : 1; }

// `shape` of float32 weights, (..., depth, 16), as it is with pairs: (..., depth / 2, 16, 2), or with fours.
inline void require_weights(const py::array& weights, std::vector<int64_t> shape, Kind kind,
                            const char* name) {
  if (kind != Kind::floats) {
    shape[shape.size() - 2] /= together(kind);
    shape.push_back(together(kind));
  }
  require_shape(weights, shape, name);
}

inline Geometry geometry_of(int height, int width) {
  require(height > 0 && width > 0, "height and width must be positive, got " +
                                       std::to_string(height) + " and " + std::to_string(width));
  require((int64_t(height) + kTile + 2) * (int64_t(width) + kRun + 2) < INT32_MAX,
          "the image has too many pixels: " + std::to_string(height) + " x " +
              std::to_string(width));
  return {height, width};
}

// Channels of a plane of the geometry: (lines, rows, stride, channels of a line).
inline int plane_channels(const py::array& plane, const Geometry& g, const char* name) {
  const int line = kCacheLine / int(plane.itemsize());
  require(plane.ndim() == 4 && plane.shape(0) > 0,
          std::string(name) + " must be a plane (lines, rows, stride, channels of a line)");
  require_shape(plane, {plane.shape(0), g.pixels() / g.stride(), g.stride(), line}, name);
  require(plane.shape(0) <= kMaxChannels / line, std::string(name) + " has too many channels");
  return int(plane.shape(0)) * line;
}

// Elements from one line of a plane to the next.
inline int64_t line_of(const py::array& plane) { return plane.strides(0) / plane.itemsize(); }

inline const uint8_t* activity_of(const Optional<Bytes>& activity, const Geometry& g) {
  if (!activity) return nullptr;
  require_shape(*activity, {g.pixels() / g.stride(), g.stride()}, "activity");
  return activity->data();
}

// Whether to store past the cache: in whole cache lines of planes that would not stay in it.
inline bool worth_streaming(const py::array& out, const void* residual) {
  constexpr int64_t kLarge = 4 << 20;  // bytes
  return residual != out.data() && out.nbytes() >= kLarge &&
         reinterpret_cast<uintptr_t>(out.data()) % kCacheLine == 0;
}

// A vector of `n` floats, or null.
inline const float* vector_of(const Optional<Floats>& vector, int n, const char* name) {
  if (!vector) return nullptr;
  require_shape(*vector, {n}, name);
  return vector->data();
}

inline int padded_channels(int64_t panels) {
  require(panels > 0 && panels * kLine <= kMaxChannels, "weights have too few or too many outputs");
  return int(panels) * kLine;
}

inline void require_range(const Indices& indices, int64_t low, int64_t high, const char* name) {
  require(indices.ndim() == 1, std::string(name) + " must have one dimension");
  require_aligned(indices, name);
  int32_t least = INT32_MAX, most = INT32_MIN;
  const int32_t* const data = indices.data();
  for (py::ssize_t i = 0; i < indices.size(); ++i) {
    least = data[i] < least ? data[i] : least;
    most = data[i] > most ? data[i] : most;
  }
  require(indices.size() == 0 || (least >= low && most < high),
          std::string(name) + " must be in " + std::to_string(low) + " ... " +
              std::to_string(high - 1) + ", got " + std::to_string(least) + " ... " +
              std::to_string(most));
}

// Bytes from the first element of an array to beyond its last one.
inline int64_t extent(const py::array& array) {
  if (array.size() == 0) return 0;
  int64_t bytes = array.itemsize();
  for (py::ssize_t i = 0; i < array.ndim(); ++i) bytes += (array.shape(i) - 1) * array.strides(i);
  return bytes;
}

inline bool overlap(const py::array& a, const py::array& b) {
  const auto* const first = static_cast<const char*>(a.data());
  const auto* const second = static_cast<const char*>(b.data());
  return first < second + extent(b) && second < first + extent(a);
}

// What is written must not be what is read for other pixels.
inline void require_apart(const py::array& out, const py::array& in, const char* name) {
  require(!overlap(out, in), std::string("out must not overlap ") + name);
}

inline void require_threads(int threads) {
  require(threads > 0, "threads must be positive, got " + std::to_string(threads));
}

}  // namespace smsr
