// smsr_plugin._kernels: the boundary. Everything that comes from Python is checked here, with checks.h;
// a bad call raises ValueError (or TypeError for a wrong dtype), nothing below can be made to crash.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "calls.h"
#include "checks.h"
#include "isa.h"
#include "kernels.h"
#include "masks.h"

namespace smsr {
namespace {

// Adds up the channel sums of the work items, always in the same order.
py::object reduced(const std::vector<double>& partial, int items, int n, bool wanted) {
  if (!wanted) return py::none();
  py::array_t<double> sums(n);
  double* const total = sums.mutable_data();
  for (int c = 0; c < n; ++c) total[c] = 0;
  for (int i = 0; i < items; ++i)
    for (int c = 0; c < n; ++c) total[c] += partial[size_t(i) * n + c];
  return std::move(sums);
}

void check_store(Store& s, const Geometry& g, py::array& out, int n, const Optional<Floats>& unit,
                 const Optional<Floats>& bias, int biases, const Optional<py::array>& residual, bool relu,
                 float slope, const Optional<Floats>& slopes, bool residual_last) {
  const int channels = plane_channels(out, g, "out");
  require(channels >= n, "out has fewer channels than the weights have outputs");
  s.out = out.mutable_data();
  s.line = line_of(out);
  s.streams = worth_streaming(out, residual ? residual->data() : nullptr);
  s.unit = vector_of(unit, biases, "unit");
  s.bias = vector_of(bias, biases, "bias");
  s.relu = relu;
  s.slope = slope;
  s.slopes = vector_of(slopes, n, "slopes");
  s.residual_last = residual_last;
  if (residual) {
    require(kind_of(*residual, "residual") == kind_of(out, "out"), "residual must be of the dtype of out");
    require(kind_of(out, "out") != Kind::bytes, "nothing can be added to bytes");
    require(plane_channels(*residual, g, "residual") >= n,
            "residual has fewer channels than the weights have outputs");
    if (residual->data() != out.data()) require_apart(out, *residual, "residual");
    s.residual = residual->data();
    s.residual_line = line_of(*residual);
  }
}

// (plane, outputs)
using PooledTuple = std::tuple<py::array, int>;

// The first outputs of a convolution, whose means of 2x2 pixels are stored.
void check_pooled(Tiles& p, const Indices& tiles, py::array& plane, Kind out, int outputs) {
  const Geometry& g = p.geometry;
  const Geometry half{(g.height + 1) / 2, (g.width + 1) / 2};
  require(outputs > 0 && outputs <= p.n && outputs % kLine == 0,
          "pooled outputs must be a multiple of 16, and no more than the weights have");
  require(kind_of(plane, "pooled out") == (out == Kind::floats ? out : Kind::halves),
          "pooled outputs must hold float32 if out does, else uint16");
  require(plane.flags() & py::array::c_style, "pooled outputs must be C-contiguous");
  require(plane_channels(plane, half, "pooled out") >= outputs,
          "out has fewer channels than the weights have outputs");
  for (int i = 0; i < p.count; ++i) {
    const int y = p.tiles[i] / g.tile_cols(), x = p.tiles[i] % g.tile_cols();
    require((g.height % 2 == 0 || y + 1 < g.tile_rows()) &&
                (g.width % 2 == 0 || x + 1 < g.tile_cols()),
            "pooling needs an even size, or tiles that are not the last ones");
  }
  require_apart(plane, tiles, "tiles");
  p.n_pooled = outputs;
  p.pooled = plane.mutable_data();
  p.pooled_line = line_of(plane);
}

// Whether a sum of levels comes with what they count, and no other does.
void check_unit(const Optional<Floats>& unit, Kind product) {
  require(unit.has_value() == (product == Kind::bytes), "unit is for weights in bytes, which need it");
}

// The kernel for what features and products are in, and for what it stores.
Kernel<Tiles> tiles_of(const Kernels& kernels, Kind in, Kind product, Kind out) {
  if (product == Kind::bytes) {
    require(are_levels(in), "with weights in bytes x must hold uint8 or int8");
    require(out == Kind::bytes || (out == Kind::halves && in == Kind::signed_bytes),
            "with weights in bytes out must hold uint8, or uint16 where x holds int8");
    if (out == Kind::halves) return kernels.bytes->signed_to_half;
    return in == Kind::bytes ? kernels.bytes->tiles : kernels.bytes->tiles_from_signed;
  }
  require(!are_levels(in), "weights must hold int8, as x holds uint8 or int8");
  require(out != Kind::signed_bytes, "out must hold float32, uint16 or uint8");
  if (out == Kind::bytes) {
    require(in == Kind::halves && product == Kind::halves && kernels.bytes,
            "out may hold uint8 where x and the weights are bfloat16 and there are kernels for bytes");
    return kernels.bytes->tiles_from_half;
  }
  const bool half_in = in == Kind::halves, half = product == Kind::halves, half_out = out == Kind::halves;
  require(half_in || !half, "weights must hold float32, as x does");
  require((half_in && half) || !half_out, "out must hold float32, as the features or the weights do");
  if (!half_in) return kernels.floats->tiles;
  if (!half) return kernels.half->wide_tiles;
  return half_out ? kernels.half->tiles : kernels.half->tiles_to_floats;
}

py::object call_tiles(int height, int width, const Indices& tiles, const py::array& in,
                         const py::array& weights, py::array& out, const Optional<Floats>& bias,
                         const Optional<py::array>& residual, bool relu, bool pool,
                         Optional<PooledTuple> pooled, const Optional<Bytes>& activity_in,
                         int k_dense, const Optional<py::array>& rest, const Optional<Floats>& unit,
                         const Optional<Bytes>& activity_out, int stored, bool sums, float slope,
                         const Optional<Floats>& slopes, bool residual_last, int threads,
                         const Optional<std::string>& isa) {
  Tiles p{};
  p.geometry = geometry_of(height, width);
  const Geometry& g = p.geometry;
  const Kernels& kernels = kernels_named(isa);
  const Kind product = weights_kind(weights, kernels);
  const Kind kind_in = kind_of(in, "x"), kind_out = kind_of(out, "out");
  require(kind_in != Kind::halves || kernels.half, std::string("there is no bfloat16 for ") + kernels.name);
  const Kernel<Tiles> kernel = tiles_of(kernels, kind_in, product, kind_out);
  check_unit(unit, product);
  require_threads(threads);
  require_range(tiles, 0, int64_t(g.tile_rows()) * g.tile_cols(), "tiles");
  p.tiles = tiles.data();
  p.count = int(tiles.size());
  const int channels = plane_channels(in, g, "in");
  p.in = in.data();
  p.in_line = line_of(in);
  take_weights(p, weights, kernels, product, channels);
  const int line = kCacheLine / int(in.itemsize());
  require(k_dense >= 0 && (k_dense <= p.k || k_dense - p.k < line) && k_dense % line == 0,
          "k_dense must be whole lines of the k channels");
  p.k_dense = k_dense;
  p.activity_in = activity_of(activity_in, g);
  if (rest) {
    require(kind_of(*rest, "rest") == kind_in, "rest must be of the dtype of x");
    require_shape(*rest, {p.k}, "rest");
    p.rest = rest->data();
  }
  if (pool) {
    require(!residual && !pooled, "a residual cannot be pooled, nor what is pooled already");
    require(!activity_out && !sums, "pooling takes neither a mask nor sums");
    require(!are_levels(kind_out), "pooled outputs must hold float32 or uint16");
    check_pooled(p, tiles, out, kind_out, p.n);
    require_apart(out, in, "x");
    p.store.unit = vector_of(unit, p.n, "unit");
    p.store.bias = vector_of(bias, p.n, "bias");
    p.store.relu = relu;
    p.store.slope = slope;
    p.store.slopes = vector_of(slopes, p.n, "slopes");
  } else {
    if (pooled) {
      auto& [plane, outputs] = *pooled;
      check_pooled(p, tiles, plane, kind_out, outputs);
      require_apart(plane, in, "x");
      require_apart(plane, out, "out");
      require(p.n_pooled < p.n, "pooled outputs must leave some for out");
      require(!unit, "pooled outputs are those of other products than of bytes");
    }
    require(!pooled || !slopes, "slopes are for outputs of one kind");
    check_store(p.store, g, out, p.n - p.n_pooled, unit, bias, p.n, residual, relu, slope, slopes,
                residual_last);
  }
  require_apart(out, in, "x");
  require_apart(out, tiles, "tiles");
  p.activity_out = activity_of(activity_out, g);
  require(stored == kActive || stored == kInactive, "stored must be ACTIVE or INACTIVE");
  p.stored = uint8_t(stored);
  const int items = (p.count + kTileBlock - 1) / kTileBlock;
  const int summed = p.n - p.n_pooled;
  std::vector<double> partial(sums ? size_t(items) * summed : 0);
  p.store.sums = sums ? partial.data() : nullptr;
  run(kernel, p, items, 1, threads, tiles_floats(p, product != Kind::floats));
  return reduced(partial, items, summed, sums);
}

// (plane, dy, dx, first channel, channels, activity or None)
using SourceTuple = std::tuple<py::array, int, int, int, int, Optional<Bytes>>;
// (weights, bias or None, out, relu)
using ChainTuple = std::tuple<py::array, Optional<Floats>, py::array, bool>;

// (plane, levels of one)
using LevelsTuple = std::tuple<py::array, float>;

// Where the finished rows go once more, in levels.
void check_levels(Rows& p, const Geometry& g, py::array& plane, float of_one) {
  require(kind_of(plane, "levels") == Kind::signed_bytes, "levels must hold int8");
  require(plane_channels(plane, g, "levels") >= p.n, "levels has fewer channels than the weights have outputs");
  p.levels = static_cast<Signed*>(plane.mutable_data());
  p.levels_line = line_of(plane);
  p.levels_of_one = of_one;
  p.levels_stream = worth_streaming(plane, nullptr);
}

// As `tiles_of`.
Kernel<Rows> rows_of(const Kernels& kernels, Kind in, Kind product, Kind out) {
  if (product == Kind::bytes) {
    require(are_levels(in), "weights must hold float32 or uint16, as the sources do");
    require(out == Kind::bytes || (out == Kind::halves && in == Kind::bytes),
            "with weights in bytes out must hold uint8, or uint16 where the sources hold uint8");
    if (out == Kind::halves) return kernels.bytes->rows_to_half;
    return in == Kind::bytes ? kernels.bytes->rows : kernels.bytes->rows_from_signed;
  }
  require(!are_levels(in), "weights must hold int8, as the sources hold uint8 or int8");
  require(out != Kind::signed_bytes, "out must hold float32, uint16 or uint8");
  const bool half_in = in == Kind::halves, half = product == Kind::halves;
  require(half || !half_in, "weights must hold uint16, as the sources do");
  require(half_in || !half, "weights must hold float32, as the sources do");
  require(half_in || out == Kind::floats, "out must hold float32, as the sources do");
  if (!half_in) return kernels.floats->rows;
  if (out == Kind::bytes) {
    require(kernels.bytes, std::string("there are no kernels for bytes for ") + kernels.name);
    return kernels.bytes->rows_from_half;
  }
  return out == Kind::halves ? kernels.half->rows : kernels.half->rows_to_floats;
}

py::object call_rows(int height, int width, const Indices& pixels,
                     const std::vector<SourceTuple>& sources, const py::array& weights,
                     py::array& out, const Optional<Floats>& bias,
                     const Optional<py::array>& residual, bool relu, bool sums,
                     Optional<ChainTuple> chain, float slope, const Optional<Floats>& slopes,
                     bool residual_last, const Optional<Floats>& scale, const Optional<Floats>& unit,
                     Optional<LevelsTuple> levels, int threads, const Optional<std::string>& isa) {
  const Geometry g = geometry_of(height, width);
  const Kernels& kernels = kernels_named(isa);
  const Kind product = weights_kind(weights, kernels), kind_out = kind_of(out, "out");
  const Kind kind_in = sources.empty() ? (kind_out == Kind::floats ? kind_out : product)
                                       : kind_of(std::get<0>(sources[0]), "source");
  const bool half = kind_in == Kind::halves || kind_out == Kind::halves;
  require(!half || kernels.half, std::string("there is no bfloat16 for ") + kernels.name);
  const Kernel<Rows> kernel = rows_of(kernels, kind_in, product, kind_out);
  check_unit(unit, product);
  require_threads(threads);
  // Neighbours of every pixel named here lie within the plane.
  require_range(pixels, g.index(0, 0), g.index(height - 1, width - 1) + 1, "pixels");
  Rows p{};
  p.pixels = pixels.data();
  p.count = int(pixels.size());
  std::vector<Source> terms;
  const int whole_inputs = depth_unit(kernels, product);
  int64_t k = 0;
  for (const auto& [plane, dy, dx, first, channels, activity] : sources) {
    require(kind_of(plane, "source") == kind_in, "sources must be of one dtype");
    const int available = plane_channels(plane, g, "source");
    require(dy >= -1 && dy <= 1 && dx >= -1 && dx <= 1, "a source lies at most one pixel away");
    require(first >= 0 && channels > 0 && channels <= available - first,
            "a source's channels must lie within its plane");
    const int line = kCacheLine / int(plane.itemsize());
    require(first % line == 0,
            "a source must begin with a line of " + std::to_string(line) + " channels");
    const int64_t begin = first / line * line_of(plane) * plane.itemsize();
    terms.push_back({static_cast<const char*>(plane.data()) + begin, line_of(plane),
                     dy * g.stride() + dx, channels, activity_of(activity, g)});
    k += rounded_up(channels, whole_inputs);
  }
  p.sources = terms.data();
  p.num_sources = int(terms.size());
  require(weights.ndim() > 0, "weights must have dimensions");
  p.n = padded_channels(weights.shape(0));
  require_weights(weights, {p.n / kLine, k, kLine}, product, "weights");
  p.weights = weights.data();
  p.scale = vector_of(scale, p.n, "scale");
  check_store(p.store, g, out, p.n, unit, bias, p.n, residual, relu, slope, slopes, residual_last);
  require_apart(out, pixels, "pixels");
  for (const SourceTuple& source : sources) require_apart(out, std::get<0>(source), "sources");
  if (chain) {
    auto& [chain_weights, chain_bias, chain_out, chain_relu] = *chain;
    require(kind_of(chain_out, "the chain's out") == kind_out && !are_levels(kind_out) &&
                (kind_in == kind_out || kind_in == Kind::bytes),
            "sources, out and the chain's out must be of one dtype, or the sources of uint8");
    require_apart(out, chain_out, "the chain's out");
    if (residual) require_apart(chain_out, *residual, "residual");
    require_apart(chain_out, pixels, "pixels");
    for (const SourceTuple& source : sources)
      require_apart(chain_out, std::get<0>(source), "sources");
    require(weights_kind(chain_weights, kernels) == kind_out, "chain weights must be of the dtype of out");
    require(chain_weights.ndim() >= 2, "chain weights must have dimensions");
    p.chain_n = padded_channels(chain_weights.shape(0));
    const int64_t whole = rounded_up(p.n, depth_unit(kernels, kind_out));
    p.chain_residual = chain_weights.shape(1) * together(kind_out) == 2 * whole && residual;
    require_weights(chain_weights, {p.chain_n / kLine, (p.chain_residual ? 2 : 1) * whole, kLine},
                    kind_out, "chain weights");
    p.chain_weights = chain_weights.data();
    p.chain_bias = vector_of(chain_bias, p.chain_n, "chain bias");
    require(plane_channels(chain_out, g, "chain out") >= p.chain_n,
            "chain out has too few channels");
    p.chain_line = line_of(chain_out);
    p.chain_out = chain_out.mutable_data();
    p.chain_relu = chain_relu;
    p.chain_streams = chain_bias && worth_streaming(chain_out, nullptr);  // else it is read first
  }
  const bool matrix = product == Kind::bytes || (product == Kind::halves && kernels.half->matrix);
  if (levels) {
    auto& [plane, of_one] = *levels;
    require(matrix && kind_out == Kind::halves, "levels are for matrix tiles, and for out in uint16");
    check_levels(p, g, plane, of_one);
    require_apart(plane, out, "levels");
    require_apart(plane, pixels, "pixels");
    if (residual) require_apart(plane, *residual, "residual");
    if (chain) require_apart(plane, std::get<2>(*chain), "the chain's out");
    for (const SourceTuple& source : sources) require_apart(plane, std::get<0>(source), "sources");
  }
  p.block = matrix ? kMatrixBlock : kRowBlock;
  const int items = (p.count + p.block - 1) / p.block;
  std::vector<double> partial(sums ? size_t(items) * p.n : 0);
  p.store.sums = sums ? partial.data() : nullptr;
  // Sums, and rows of a group, with matrix tiles of an item: finished ones, the chain's, rounded ones that it
  // multiplies, and copies.
  const int64_t rounded =
      product == Kind::floats ? 0 : rounded_up(p.n, depth_unit(kernels, Kind::halves)) / 2;
  const int64_t copies = matrix ? std::max(k / together(product), rounded) : 0;
  run(kernel, p, items, 1, threads,
      p.n + (matrix ? kMatrixBlock : kMaxRows) * (p.n + p.chain_n + rounded + copies));
  return reduced(partial, items, p.n, sums);
}

void call_image(const Floats& lq, const Floats& weights, py::array& out, bool has_ones,
                const Optional<Floats>& bias, bool relu, float slope,
                const Optional<Floats>& slopes, int threads, const Optional<std::string>& isa) {
  require(lq.ndim() == 3, "lq must have shape (channels, height, width)");
  require_aligned(lq, "lq");
  ImageConv p{};
  p.geometry = geometry_of(int(lq.shape(1)), int(lq.shape(2)));
  require_threads(threads);
  require(lq.shape(0) > 0 && lq.shape(0) < kMaxChannels,
          "lq must have 1 ... " + std::to_string(kMaxChannels - 1) + " channels, got " +
              std::to_string(lq.shape(0)));
  p.lq = lq.data();
  p.channels = int(lq.shape(0));
  p.has_ones = has_ones;
  require(weights.ndim() > 0, "weights must have dimensions");
  p.n = padded_channels(weights.shape(0));
  require_weights(weights, {p.n / kLine, 9 * (int64_t(p.channels) + has_ones), kLine}, Kind::floats,
                  "weights");
  p.weights = weights.data();
  check_store(p.store, p.geometry, out, p.n, {}, bias, p.n, {}, relu, slope, slopes, false);
  require_apart(out, lq, "lq");
  const Kernels& kernels = kernels_named(isa);
  const bool half = holds_halves(out, "out");
  require(!half || kernels.half, std::string("there is no bfloat16 for ") + kernels.name);
  run(half ? kernels.half->image : kernels.floats->image, p, p.geometry.height, 1, threads,
      image_room(p));
}

void call_compose(const Floats& lq, const Floats& residual, const Optional<Floats>& taps, Floats& sr,
                  int scale, int threads, const Optional<std::string>& isa) {
  require(lq.ndim() == 3, "lq must have shape (channels, height, width)");
  require_aligned(lq, "lq");
  Compose p{};
  p.geometry = geometry_of(int(lq.shape(1)), int(lq.shape(2)));
  require_threads(threads);
  p.channels = int(lq.shape(0));
  require(scale > 0 && scale <= 64, "scale must be in 1 ... 64, got " + std::to_string(scale));
  p.scale = scale;
  if (taps) require_shape(*taps, {p.scale, 5}, "taps");
  require(plane_channels(residual, p.geometry, "residual") >=
              int64_t(p.channels) * p.scale * p.scale,
          "residual has too few channels");
  p.residual_line = line_of(residual);
  require_shape(sr,
                {p.channels, int64_t(p.geometry.height) * p.scale,
                 int64_t(p.geometry.width) * p.scale},
                "sr");
  p.lq = lq.data();
  p.sr = sr.mutable_data();
  p.residual = residual.data();
  p.taps = taps ? taps->data() : nullptr;
  run(kernels_named(isa).floats->compose, p, p.geometry.height, 1, threads,
      int64_t(p.geometry.width) + 4);
}

void call_decide(int height, int width, const Floats& products, float bias, float threshold,
                 Bytes& activity, int threads) {
  const Geometry g = geometry_of(height, width);
  const Geometry half{(height + 1) / 2, (width + 1) / 2};
  require_threads(threads);
  plane_channels(products, half, "products");  // a line holds the 9 that are needed
  activity_of(activity, g);
  uint8_t* const out = activity.mutable_data();
  const float* const in = products.data();
  py::gil_scoped_release release;
  decide(g, in, bias, threshold, out, threads);
}

Indices as_array(List&& list) {
  const py::capsule owner(list.data.get(), [](void* p) { delete[] static_cast<int32_t*>(p); });
  return Indices(size_t(list.size), list.data.release(), owner);
}

py::tuple call_list(int height, int width, const Bytes& activity, int threads) {
  const Geometry g = geometry_of(height, width);
  require_threads(threads);
  const uint8_t* const data = activity_of(activity, g);
  Lists lists = [&] {
    py::gil_scoped_release release;
    return list(g, data, threads);
  }();
  return py::make_tuple(as_array(std::move(lists.active)), as_array(std::move(lists.inactive)),
                        as_array(std::move(lists.active_tiles)),
                        as_array(std::move(lists.inactive_tiles)));
}

}  // namespace
}  // namespace smsr

PYBIND11_MODULE(_kernels, m) {
  using namespace smsr;
  using py::arg;
  m.doc() = "Native kernels of sparse inference; smsr_plugin.sparse.native describes and calls them.";
  m.attr("TILE") = kTile;
  m.attr("LINE") = kLine;
  m.attr("HALF_LINE") = kHalfLine;
  m.attr("RUN") = kRun;
  m.attr("MAX_CHANNELS") = kMaxChannels;
  m.attr("ACTIVE") = int(kActive);
  m.attr("INACTIVE") = int(kInactive);
  m.def("isa", [] { return std::string(kernels_named({}).name); },
        "The instruction set in use: the fastest one, or what SMSR_ISA named.");
  m.def("available", [] {
    std::vector<std::string> names;
    for (const Kernels* kernels : available()) names.push_back(kernels->name);
    return names;
  }, "The instruction sets that this processor has kernels for, slowest first.");
  m.def("has_half", [](const Optional<std::string>& isa) { return kernels_named(isa).half != nullptr; },
        arg("isa") = py::none(), "Whether the instruction set has bfloat16 kernels.");
  m.def("has_bytes", [](const Optional<std::string>& isa) { return kernels_named(isa).bytes != nullptr; },
        arg("isa") = py::none(), "Whether the instruction set has kernels for features in bytes.");
  m.def("tiles", call_tiles, arg("height"), arg("width"), arg("tiles").noconvert(),
        arg("x").noconvert(), arg("weights").noconvert(), arg("out").noconvert(), py::kw_only(),
        arg("bias").noconvert() = py::none(), arg("residual").noconvert() = py::none(),
        arg("relu") = false, arg("pool") = false, arg("pooled").noconvert() = py::none(),
        arg("activity_in").noconvert() = py::none(), arg("k_dense") = 0,
        arg("rest").noconvert() = py::none(), arg("unit").noconvert() = py::none(),
        arg("activity_out").noconvert() = py::none(),
        arg("stored") = int(kActive), arg("sums") = false, arg("slope") = 0.0f,
        arg("slopes").noconvert() = py::none(),
        arg("residual_last") = false, arg("threads") = 1,
        arg("isa") = py::none(), "3x3 convolution at a list of tiles.");
  m.def("rows", call_rows, arg("height"), arg("width"), arg("pixels").noconvert(),
        arg("sources").noconvert(), arg("weights").noconvert(), arg("out").noconvert(), py::kw_only(),
        arg("bias").noconvert() = py::none(), arg("residual").noconvert() = py::none(),
        arg("relu") = false, arg("sums") = false, arg("chain").noconvert() = py::none(),
        arg("slope") = 0.0f, arg("slopes").noconvert() = py::none(), arg("residual_last") = false,
        arg("scale").noconvert() = py::none(), arg("unit").noconvert() = py::none(),
        arg("levels").noconvert() = py::none(), arg("threads") = 1, arg("isa") = py::none(),
        "Sum of products over the rows of a list of pixels.");
  m.def("image", call_image, arg("lq").noconvert(), arg("weights").noconvert(),
        arg("out").noconvert(), py::kw_only(), arg("has_ones") = false,
        arg("bias").noconvert() = py::none(), arg("relu") = false, arg("slope") = 0.0f,
        arg("slopes").noconvert() = py::none(), arg("threads") = 1, arg("isa") = py::none(),
        "3x3 convolution of the image.");
  m.def("compose", call_compose, arg("lq").noconvert(), arg("residual").noconvert(),
        arg("taps").noconvert(), arg("sr").noconvert(), py::kw_only(), arg("scale"),
        arg("threads") = 1, arg("isa") = py::none(),
        "The pixel-shuffled residual, plus the enlarged image unless taps is None.");
  m.def("decide", call_decide, arg("height"), arg("width"), arg("products").noconvert(),
        arg("bias"), arg("threshold"), arg("activity").noconvert(), py::kw_only(),
        arg("threads") = 1, "Marks active and inactive pixels from the mask predictor's products.");
  m.def("list_active", call_list, arg("height"), arg("width"), arg("activity").noconvert(),
        py::kw_only(), arg("threads") = 1,
        "Returns the active and the inactive pixels, and the tiles with such a pixel.");
  add_tile_calls(m);
  add_block_call(m);
}
