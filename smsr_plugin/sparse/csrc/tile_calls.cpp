// The functions of smsr_plugin._kernels for networks with masks at tiles: as in module.cpp, what comes
// from Python is checked here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <vector>

#include "calls.h"
#include "checks.h"
#include "kernels.h"
#include "tile_calls.h"

namespace smsr {
namespace {

// What is seen of a plane from a channel on: of one line, or of whole lines. With matrix tiles it is
// seen from the beginning of the line in which that channel lies.
const void* channels_of(const py::array& plane, const Geometry& g, int first, int k, bool matrix,
                        const char* name) {
  const int channels = plane_channels(plane, g, name);
  const int line = plane.itemsize() == sizeof(float) ? kLine : kHalfLine;
  if (matrix) {
    require(k % kHalfLine == 0, "weights for matrix tiles must have whole lines of inputs");
    first -= first % kHalfLine;  // what is negative stays so
  }
  require(first >= 0 && first <= channels - k,
          std::string(name) + " has fewer channels than the weights have inputs");
  require(first % line == 0 || first % line <= line - k,
          std::string(name) + " must be seen from the beginning of a line, or within one");
  return static_cast<const char*>(plane.data()) +
         (first / line * line_of(plane) + first % line) * plane.itemsize();
}

// Inputs of weights (panels, depth, 16), or of pairs.
int depth_of(const py::array& weights, bool half) {
  require(weights.ndim() == (half ? 4 : 3),
          half ? "weights of pairs must have four dimensions" : "weights must have three dimensions");
  require(weights.shape(1) > 0 && weights.shape(1) <= 9 * kMaxChannels,
          "weights have too few or too many inputs");
  return int(weights.shape(1)) * (half ? 2 : 1);
}

void call_strided(const Size& size, const py::array& in, const py::array& weights,
                  const Size& out_size, Floats& out, int padding, int first,
                  const Optional<Floats>& bias, bool relu, int threads,
                  const Optional<std::string>& isa) {
  Strided p{};
  p.in_geometry = geometry_of(size);
  p.out_geometry = geometry_of(out_size);
  require_threads(threads);
  const Kernels& kernels = kernels_named(isa);
  const bool half = are_half(weights, kernels);
  require(padding == 0 || padding == 1, "padding must be 0 or 1");
  const Geometry &i = p.in_geometry, &o = p.out_geometry;
  // The last pixel that is seen may lie in the border.
  require(2 * (o.height - 1) + 2 - padding < i.height + padding &&
              2 * (o.width - 1) + 2 - padding < i.width + padding,
          "the output is too large for the input");
  p.padding = padding;
  const int depth = depth_of(weights, half);
  require(depth % (half ? 18 : 9) == 0, "weights must have nine taps of some inputs");
  p.k = depth / 9;
  p.n = padded_channels(weights.shape(0));
  require_weights(weights, {p.n / kLine, depth, kLine}, kind_of_products(half), "weights");
  p.weights = weights.data();
  require(holds_halves(in, "x") == half, "weights must be of the dtype of x");
  p.in = channels_of(in, i, first, p.k, half && kernels.half->matrix, "in");
  p.in_line = line_of(in);
  require(plane_channels(out, o, "out") >= p.n,
          "out has fewer channels than the weights have outputs");
  require_apart(out, in, "x");
  p.out = out.mutable_data();
  p.out_line = line_of(out);
  p.bias = vector_of(bias, p.n, "bias");
  p.relu = relu;
  run(half ? kernels.half->strided : kernels.floats->strided, p, o.height, 1, threads,
      int64_t(kRun) * p.n);
}

void call_maximum(const Size& size, const Floats& in, int side, int step, const Size& out_size,
                  Floats& out, int threads, const Optional<std::string>& isa) {
  Maximum p{};
  p.in_geometry = geometry_of(size);
  p.out_geometry = geometry_of(out_size);
  require_threads(threads);
  const Geometry &i = p.in_geometry, &o = p.out_geometry;
  require(side > 0 && step > 0 && int64_t(o.height - 1) * step + side <= i.height &&
              int64_t(o.width - 1) * step + side <= i.width,
          "every square must lie in the input");
  p.side = side;
  p.step = step;
  p.lines = plane_channels(in, i, "in") / kLine;
  require(plane_channels(out, o, "out") >= p.lines * kLine, "out has fewer channels than in");
  require_apart(out, in, "x");
  p.in = in.data();
  p.in_line = line_of(in);
  p.out = out.mutable_data();
  p.out_line = line_of(out);
  run(kernels_named(isa).floats->maximum, p, o.height, 1, threads, 0);
}

Resampling resampling_of(const ResamplingTuple& tuple, int from, int to, const char* name) {
  const auto& [low, high, share] = tuple;
  require_shape(low, {to}, name);
  require_shape(high, {to}, name);
  require_shape(share, {to}, name);
  require_range(low, 0, from, name);
  require_range(high, 0, from, name);
  return {low.data(), high.data(), share.data()};
}

}  // namespace

Attend attend_of(const Size& size, const py::array& x, const AttentionTuple& attention,
                 const Kernels& kernels, bool half) {
  const auto& [row, first, weights, coarse_size, coarse, down, across] = attention;
  Attend p{};
  const Geometry& g = p.geometry = geometry_of(size);
  p.coarse_geometry = geometry_of(coarse_size);
  require(are_half(weights, kernels) == half, "the attention's weights must be of the dtype of x");
  p.k = depth_of(weights, half);
  p.n = padded_channels(weights.shape(0));
  require_weights(weights, {p.n / kLine, p.k, kLine}, kind_of_products(half), "weights");
  require(holds_halves(x, "x") == half && holds_halves(row, "row") == half,
          "x, row and out must be of the dtype of the weights");
  require(plane_channels(x, g, "x") >= p.n && plane_channels(coarse, p.coarse_geometry, "coarse") >= p.n,
          "a plane has fewer channels than the weights have outputs");
  p.x = x.data();
  p.x_line = line_of(x);
  p.row = channels_of(row, g, first, p.k, half && kernels.half->matrix, "row");
  p.row_line = line_of(row);
  p.weights = weights.data();
  p.coarse = coarse.data();
  p.coarse_line = line_of(coarse);
  p.down = resampling_of(down, p.coarse_geometry.height, g.height, "down");
  p.across = resampling_of(across, p.coarse_geometry.width, g.width, "across");
  p.right = g.width;
  return p;
}

int64_t attend_floats(const Attend& p) { return (int64_t(p.coarse_geometry.width) + kRun) * p.n; }

namespace {

void call_attend(const Size& size, const py::array& x, const py::array& row,
                 const py::array& weights, const Size& coarse_size, const Floats& coarse,
                 const ResamplingTuple& down, const ResamplingTuple& across, py::array& out, int first,
                 int threads, const Optional<std::string>& isa) {
  require_threads(threads);
  const Kernels& kernels = kernels_named(isa);
  const bool half = are_half(weights, kernels);
  Attend p = attend_of(size, x, {row, first, weights, coarse_size, coarse, down, across}, kernels, half);
  require(holds_halves(out, "out") == half, "x, row and out must be of the dtype of the weights");
  require(plane_channels(out, p.geometry, "out") >= p.n,
          "a plane has fewer channels than the weights have outputs");
  require_apart(out, coarse, "coarse");
  if (x.data() != out.data()) require_apart(out, x, "x");
  // A pixel's row may lie in the last line that is written there, since it is read before.
  if (row.data() == out.data())
    require(first >= p.n, "row must lie behind the channels that are written");
  else
    require_apart(out, row, "row");
  p.out = out.mutable_data();
  p.out_line = line_of(out);
  p.streams = worth_streaming(out, x.data());
  run(half ? kernels.half->attend : kernels.floats->attend, p, p.geometry.height, 1, threads,
      attend_floats(p));
}

// (plane, channels)
using TermTuple = std::tuple<py::array, int>;
// (sources, weights, bias)
using SideTuple = std::tuple<std::vector<TermTuple>, py::array, Floats>;

// The product at pixels of one kind; its sources are kept in `terms`.
BlendSide side_of(const SideTuple& tuple, const Geometry& g, const Kernels& kernels, bool half,
                  int n, const py::array& out,
                  std::vector<Source>& terms) {
  const auto& [sources, weights, bias] = tuple;
  BlendSide side{};
  for (const auto& [plane, channels] : sources) {
    require(holds_halves(plane, "source") == half, "sources must be of the dtype of the weights");
    require(channels > 0 && channels <= plane_channels(plane, g, "source"),
            "a source's channels must lie within its plane");
    require_apart(out, plane, "sources");
    terms.push_back({plane.data(), line_of(plane), 0, channels, nullptr});
    side.depth += int(rounded_up(channels, depth_unit(kernels, kind_of_products(half))));
  }
  side.sources = terms.data();
  side.num_sources = int(terms.size());
  require_weights(weights, {n / kLine, side.depth, kLine}, kind_of_products(half), "weights");
  side.weights = weights.data();
  side.bias = vector_of(bias, n, "bias");
  return side;
}

void call_blend(const Size& size, const Bytes& activity, const SideTuple& active,
                const SideTuple& inactive, py::array& out, int threads,
                const Optional<std::string>& isa) {
  Blend p{};
  const Geometry& g = p.geometry = geometry_of(size);
  require_threads(threads);
  const Kernels& kernels = kernels_named(isa);
  const bool half = are_half(std::get<1>(active), kernels);
  require(are_half(std::get<1>(inactive), kernels) == half && holds_halves(out, "out") == half,
          "weights and out must be of one dtype");
  p.activity = activity_of(activity, g);
  require(std::get<1>(active).ndim() > 0, "weights must have dimensions");
  p.n = padded_channels(std::get<1>(active).shape(0));
  require(plane_channels(out, g, "out") >= p.n,
          "out has fewer channels than the weights have outputs");
  require_apart(out, activity, "activity");
  std::vector<Source> terms[2];
  p.active = side_of(active, g, kernels, half, p.n, out, terms[0]);
  p.inactive = side_of(inactive, g, kernels, half, p.n, out, terms[1]);
  p.out = out.mutable_data();
  p.out_line = line_of(out);
  p.streams = worth_streaming(out, nullptr);
  p.right = g.width;
  run(half ? kernels.half->blend : kernels.floats->blend, p, g.height, 1, threads,
      blend_floats(p));
}

void call_details(const Floats& lq, float levels, Floats& out, int threads,
                  const Optional<std::string>& isa) {
  require(lq.ndim() == 3 && lq.shape(0) > 0 && lq.shape(0) < kMaxChannels / 2,
          "lq must have shape (channels, height, width)");
  require_aligned(lq, "lq");
  Details p{};
  p.geometry = geometry_of({int(lq.shape(1)), int(lq.shape(2))});
  require_threads(threads);
  p.channels = int(lq.shape(0));
  p.lq = lq.data();
  p.levels = levels;
  require(plane_channels(out, p.geometry, "out") >= 2 * p.channels + 1, "out has too few channels");
  require_apart(out, lq, "lq");
  p.out = out.mutable_data();
  p.out_line = line_of(out);
  run(kernels_named(isa).floats->details, p, p.geometry.height, 16, threads,
      details_floats(p));
}

}  // namespace

void add_tile_calls(py::module_& m) {
  using py::arg;
  m.def("strided", call_strided, arg("size"), arg("x").noconvert(), arg("weights").noconvert(),
        arg("out_size"), arg("out").noconvert(), py::kw_only(), arg("padding"), arg("first") = 0,
        arg("bias").noconvert() = py::none(), arg("relu") = false, arg("threads") = 1,
        arg("isa") = py::none(), "3x3 convolution of stride 2.");
  m.def("maximum", call_maximum, arg("size"), arg("x").noconvert(), arg("side"), arg("step"),
        arg("out_size"), arg("out").noconvert(), py::kw_only(), arg("threads") = 1,
        arg("isa") = py::none(), "Largest values of squares of pixels.");
  m.def("attend", call_attend, arg("size"), arg("x").noconvert(), arg("row").noconvert(),
        arg("weights").noconvert(), arg("coarse_size"), arg("coarse").noconvert(), arg("down"),
        arg("across"), arg("out").noconvert(), py::kw_only(), arg("first") = 0, arg("threads") = 1,
        arg("isa") = py::none(),
        "Scales a plane by 1 / (1 + 2^gate), gate being products over rows plus a resampled plane.");
  m.def("blend", call_blend, arg("size"), arg("activity").noconvert(), arg("active").noconvert(),
        arg("inactive").noconvert(), arg("out").noconvert(), py::kw_only(), arg("threads") = 1,
        arg("isa") = py::none(),
        "Products over the rows of active pixels, others over those of inactive ones.");
  m.def("details", call_details, arg("lq").noconvert(), arg("levels"), arg("out").noconvert(),
        py::kw_only(), arg("threads") = 1, arg("isa") = py::none(),
        "How far the pixels of an image lie from their surroundings, as logarithms.");
}

}  // namespace smsr
