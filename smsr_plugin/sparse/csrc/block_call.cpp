// smsr_plugin._kernels.block: as in module.cpp, what comes from Python is checked here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "block.h"
#include "calls.h"
#include "checks.h"
#include "kernels.h"
#include "tile_calls.h"

namespace smsr {
namespace {

// (weights, bias or None, rest or None, relu, slope, slopes or None)
using ConvTuple = std::tuple<py::array, Optional<Floats>, Optional<py::array>, bool, float,
                             Optional<Floats>>;
// (channels of each source, weights, bias)
using ProductTuple = std::tuple<std::vector<int>, py::array, Floats>;

// What is read of skipped pixels unless a convolution says otherwise; in bfloat16 twice as many.
alignas(kCacheLine) const float kZeros[kMaxChannels] = {};

// A convolution of so many channels, but for its planes and tiles.
Tiles conv_of(const ConvTuple& tuple, const Geometry& g, const Kernels& kernels, bool half,
              int channels) {
  const auto& [weights, bias, rest, relu, slope, slopes] = tuple;
  Tiles p{};
  p.geometry = g;
  require(are_half(weights, kernels) == half, "weights must be of the dtype of x");
  take_weights(p, weights, kernels, kind_of_products(half), channels);
  p.rest = kZeros;
  if (rest) {
    require(holds_halves(*rest, "rest") == half, "rest must be of the dtype of x");
    require_shape(*rest, {p.k}, "rest");
    p.rest = rest->data();
  }
  p.store.bias = vector_of(bias, p.n, "bias");
  p.store.relu = relu;
  p.store.slope = slope;
  p.store.slopes = vector_of(slopes, p.n, "slopes");
  p.store.residual_last = true;
  return p;
}

TileList rows_of(const Indices& tiles, const Geometry& g) {
  require_range(tiles, 0, int64_t(g.tile_rows()) * g.tile_cols(), "tiles");
  const int32_t *const first = tiles.data(), *const last = first + tiles.size();
  require(std::adjacent_find(first, last, std::greater_equal<int32_t>()) == last,
          "tiles must be in order");
  TileList rows{first, {}};
  for (int y = 0; y <= g.tile_rows(); ++y)
    rows.begin.push_back(int(std::lower_bound(first, last, int64_t(y) * g.tile_cols()) - first));
  return rows;
}

// A side of the blend, whose sources have so many channels at most.
BlendSide side_of(const ProductTuple& tuple, const std::vector<int>& available,
                  const Kernels& kernels, bool half, int n) {
  const auto& [channels, weights, bias] = tuple;
  BlendSide side{};
  side.num_sources = int(available.size());
  require(channels.size() == available.size(),
          "a product must have " + std::to_string(available.size()) + " sources, got " +
              std::to_string(channels.size()));
  for (size_t i = 0; i < channels.size(); ++i) {
    require(channels[i] > 0 && channels[i] <= available[i],
            "a source's channels must lie within its plane");
    side.depth += int(rounded_up(channels[i], depth_unit(kernels, kind_of_products(half))));
  }
  require(are_half(weights, kernels) == half, "weights must be of the dtype of x");
  require_weights(weights, {n / kLine, side.depth, kLine}, kind_of_products(half), "weights");
  side.weights = weights.data();
  side.bias = vector_of(bias, n, "bias");
  return side;
}

void call_block(const Size& size, const py::array& x, const std::vector<ConvTuple>& convs,
                const Indices& active_tiles, const Indices& inactive_tiles, const Bytes& activity,
                const ProductTuple& active, const ProductTuple& inactive, py::array& out,
                bool adds_x, bool partly, const Optional<ConvTuple>& narrow,
                const Optional<AttentionTuple>& attention, int threads,
                const Optional<std::string>& isa) {
  Block block{};
  const Geometry& g = block.geometry = geometry_of(size);
  const Kernels& kernels = kernels_named(isa);
  const bool half = holds_halves(x, "x");
  require(!half || kernels.half, std::string("there is no bfloat16 for ") + kernels.name);
  require_threads(threads);
  block.itemsize = int(x.itemsize());
  int channels = plane_channels(x, g, "x");
  block.x = x.data();
  block.x_line = line_of(x);
  const auto lines = [&](int n) { return int(rounded_up(n, half ? kHalfLine : kLine)); };
  if (attention) {
    block.attends = true;
    block.attend = attend_of(size, x, *attention, kernels, half);
    block.kernel_floats = std::max(block.kernel_floats, attend_floats(block.attend));
    channels = lines(block.attend.n);
    require_apart(out, std::get<0>(*attention), "row");
    require_apart(out, std::get<4>(*attention), "coarse");
  }
  const uint8_t* const marks = activity_of(activity, g);
  const auto take = [&](const ConvTuple& tuple, int of, uint8_t stored) {
    Tiles p = conv_of(tuple, g, kernels, half, of);
    p.activity_out = partly ? marks : nullptr;
    p.stored = stored;
    block.kernel_floats = std::max(block.kernel_floats, tiles_floats(p, half));
    return p;
  };
  require(!convs.empty() && convs.size() <= 16,
          "a block must have 1 ... 16 convolutions, got " + std::to_string(convs.size()));
  int given = channels;
  for (const ConvTuple& tuple : convs) {
    Tiles p = take(tuple, given, kActive);
    if (!block.convs.empty()) p.activity_in = marks;
    given = lines(p.n);
    block.convs.push_back(p);
  }
  require(!adds_x || block.convs.back().n <= channels, "x has fewer channels than are added to it");
  block.adds_x = adds_x;
  std::vector<int> elsewhere{channels};
  if (narrow) {
    block.has_narrow = true;
    block.narrow = take(*narrow, channels, kInactive);
    elsewhere.push_back(lines(block.narrow.n));
  }
  Blend& blend = block.blend;
  blend.geometry = g;
  blend.activity = marks;
  require(std::get<1>(active).ndim() > 0, "weights must have dimensions");
  blend.n = padded_channels(std::get<1>(active).shape(0));
  blend.active = side_of(active, {given}, kernels, half, blend.n);
  blend.inactive = side_of(inactive, elsewhere, kernels, half, blend.n);
  block.hidden = std::get<0>(active)[0];
  block.seen = std::get<0>(inactive)[0];
  block.narrowed = narrow ? std::get<0>(inactive)[1] : 0;
  require(holds_halves(out, "out") == half, "out must be of the dtype of x");
  require(plane_channels(out, g, "out") >= blend.n,
          "out has fewer channels than the weights have outputs");
  require_apart(out, x, "x");
  require_apart(out, activity, "activity");
  require_apart(out, active_tiles, "tiles");
  require_apart(out, inactive_tiles, "tiles");
  blend.out = out.mutable_data();
  blend.out_line = line_of(out);
  blend.streams = worth_streaming(out, nullptr);
  block.active = rows_of(active_tiles, g);
  block.inactive = rows_of(inactive_tiles, g);
  block.tiles = half ? kernels.half->tiles : kernels.floats->tiles;
  block.blend_kernel = half ? kernels.half->blend : kernels.floats->blend;
  block.attend_kernel = half ? kernels.half->attend : kernels.floats->attend;
  const bool matrix = half && kernels.half->matrix;
  block.step_tiles = matrix ? 32 : 96;
  block.besides = matrix ? 800 : 400;
  block.kernel_floats = std::max(block.kernel_floats, blend_floats(blend));
  block.kernel_floats = rounded_up(block.kernel_floats, kLine);  // rings begin with a cache line
  cut(block, threads);
  run(compute, block, int(block.pieces.size()), 1, threads, block_floats(block));
}

}  // namespace

void add_block_call(py::module_& m) {
  using py::arg;
  m.def("block", call_block, arg("size"), arg("x").noconvert(), arg("convs").noconvert(),
        arg("active_tiles").noconvert(), arg("inactive_tiles").noconvert(),
        arg("activity").noconvert(), arg("active").noconvert(), arg("inactive").noconvert(),
        arg("out").noconvert(), py::kw_only(), arg("adds_x") = false, arg("partly") = false,
        arg("narrow").noconvert() = py::none(), arg("attention").noconvert() = py::none(),
        arg("threads") = 1, arg("isa") = py::none(),
        "Convolutions that read one another at tiles, and a product at every pixel, in one pass.");
}

}  // namespace smsr
