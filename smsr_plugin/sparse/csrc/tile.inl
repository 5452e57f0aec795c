// A 3x3 convolution at tiles: which pixels are read and stored, and what becomes of their products.

// Whether every pixel of a patch is active or in the border of zeros; if not, marks those that are.
SMSR_INLINE bool whole_patch(const uint8_t* activity, int64_t row, bool (&there)[kFrequencies]) {
  static_assert(kInactive == 1 && kOutside % 2 == 0 && kActive % 2 == 0 && kPatch == 6);
  uint32_t inactive = 0;  // in the lowest bit of some byte
  for (int y = 0; y < kPatch; ++y) {
    uint32_t left, right;
    __builtin_memcpy(&left, activity + y * row, sizeof left);
    __builtin_memcpy(&right, activity + y * row + kPatch - sizeof right, sizeof right);
    inactive |= left | right;
  }
  if (!(inactive & 0x01010101)) return true;
  for (int y = 0; y < kPatch; ++y)
    for (int x = 0; x < kPatch; ++x)
      there[y * kPatch + x] = activity[y * row + x] != kInactive;
  return false;
}

// The pixels of a tile, and which of them are stored.
struct TilePixels {
  int64_t first, row;  // pixel (y, x) is first + y * row + x
  bool stored[kTile][kTile];
  bool all;
};

SMSR_INLINE TilePixels tile_pixels(const Tiles& p, int y0, int x0) {
  const Geometry& g = p.geometry;
  TilePixels at;
  at.first = g.index(y0, x0);
  at.row = g.stride();
  const bool inside = y0 + kTile <= g.height && x0 + kTile <= g.width;
  static_assert(kTile == sizeof(uint32_t));
  uint32_t other = 0;  // unless each of four neighbours is as those that are stored
  if (p.activity_out)
    for (int y = 0; y < kTile; ++y) {
      uint32_t four;
      __builtin_memcpy(&four, p.activity_out + at.first + y * at.row, sizeof four);
      other |= four ^ (p.stored * 0x01010101u);
    }
  at.all = inside && !other;
  if (at.all) return at;
  for (int y = 0; y < kTile; ++y)
    for (int x = 0; x < kTile; ++x)
      at.stored[y][x] = y0 + y < g.height && x0 + x < g.width &&
                        (!p.activity_out || p.activity_out[at.first + y * at.row + x] == p.stored);
  return at;
}

// `Groups` vectors of a tile's outputs: bias, residual, ReLU and mask on the way out. `c` is the first of
// them among those that are stored, `bias` and `sums` theirs.
template <class Products, class Features, int Groups, bool All, bool Leaky>
SMSR_INLINE void store_channels(const Store& given, const TilePixels& at, const float* m,
                                int64_t stride, int c, const float* bias, float* sums) {
  const Store s = given;  // else read again after whatever is stored
  using Element = typename Features::Element;
  typename Products::Channels products[Groups];
#pragma GCC unroll 4
  for (int g = 0; g < Groups; ++g)
    Products::read(s, c + g * SMSR_LANES, m + g * SMSR_LANES, stride, products[g]);
  Vec shift[Groups], slope[Groups], sum[Groups] = {};
#pragma GCC unroll 4
  for (int g = 0; g < Groups; ++g) {
    shift[g] = bias ? load(bias + g * SMSR_LANES) : Vec{};
    if (Leaky) slope[g] = slopes_of(s, c + g * SMSR_LANES);
  }
  auto* const out = static_cast<Element*>(s.out) + channel_at<Element>(c, s.line);
  const auto* const residual =
      s.residual ? static_cast<const Element*>(s.residual) + channel_at<Element>(c, s.residual_line)
                 : nullptr;
  for (int x = 0; x < kTile; ++x) {
    Vec y[Groups][kTile];
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) Products::column(products[g], x, y[g]);
#pragma GCC unroll 4
    for (int i = 0; i < kTile; ++i) {
      if (!All && !at.stored[i][x]) continue;
      const int64_t row = (at.first + i * at.row + x) * kLineOf<Element>;
      Vec value[Groups];
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        value[g] = finished<Features, Leaky>(s, y[g][i] + shift[g], slope[g],
                                      residual ? residual + row + g * SMSR_LANES : nullptr);
        sum[g] += value[g];
      }
      Features::template put_line<Groups>(out + row, value, s.streams);
    }
  }
  if (sums)
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g)
      store(sums + g * SMSR_LANES, load(sums + g * SMSR_LANES) + sum[g]);
}

template <class Products, class Features, int Groups>
SMSR_INLINE void store_channels(const Store& s, const TilePixels& at, const float* m,
                                int64_t stride, int c, const float* bias, float* sums) {
  with_slopes(s, [&](auto leaky) {
    constexpr bool kLeaky = decltype(leaky)::value;
    if (at.all)
      store_channels<Products, Features, Groups, true, kLeaky>(s, at, m, stride, c, bias, sums);
    else
      store_channels<Products, Features, Groups, false, kLeaky>(s, at, m, stride, c, bias, sums);
  });
}

// `Groups` vectors of a tile's outputs from `c` on, which are pooled.
template <class Products, class Features, int Groups, bool Leaky>
SMSR_INLINE void pool_channels(const Tiles& p, int y0, int x0, const float* m, int64_t stride,
                               int c) {
  using Element = typename Features::Element;
  const Geometry& g = p.geometry;
  const Geometry half_size{(g.height + 1) / 2, (g.width + 1) / 2};
  typename Products::Channels products[Groups];
  Vec bias[Groups], slope[Groups], pooled[kTile / 2][Groups] = {};
#pragma GCC unroll 4
  for (int i = 0; i < Groups; ++i) {
    const int at = c + i * SMSR_LANES;
    Products::read(p.store, at, m + i * SMSR_LANES, stride, products[i]);
    bias[i] = p.store.bias ? load(p.store.bias + at) : Vec{};
    slope[i] = slopes_of(p.store, at);
  }
  auto* const out = static_cast<Element*>(p.pooled) + channel_at<Element>(c, p.pooled_line);
  for (int x = 0; x < kTile; ++x) {
#pragma GCC unroll 4
    for (int i = 0; i < Groups; ++i) {
      Vec y[kTile];
      Products::column(products[i], x, y);
#pragma GCC unroll 4
      for (int row = 0; row < kTile; ++row)
        pooled[row / 2][i] += activated<Leaky>(p.store, y[row] + bias[i], slope[i]);
    }
    if (x % 2 == 0) continue;
#pragma GCC unroll 2
    for (int row = 0; row < kTile / 2; ++row) {
      Vec mean[Groups];
#pragma GCC unroll 4
      for (int i = 0; i < Groups; ++i) {
        mean[i] = 0.25f * pooled[row][i];
        pooled[row][i] = Vec{};
      }
      if (y0 + 2 * row < g.height && x0 + x - 1 < g.width)
        Features::template put_line<Groups>(
            out + half_size.index(y0 / 2 + row, (x0 + x) / 2) * kLineOf<Element>, mean, false);
    }
  }
}

// Stores the outputs of one tile.
template <class Products, class Features>
SMSR_INLINE void store_tile(const Tiles& p, int tile, const float* m, int64_t stride,
                            float* sums) {
  const int y0 = tile / p.geometry.tile_cols() * kTile, x0 = tile % p.geometry.tile_cols() * kTile;
  with_slopes(p.store, [&](auto leaky) {
    using Pooled = typename Features::Pooled;
    for (int c = 0; c < p.n_pooled; c += Pooled::kStep)
      with_groups<Pooled>(p.n_pooled - c, [&](auto groups) {
        pool_channels<Products, Pooled, decltype(groups)::value, decltype(leaky)::value>(p, y0, x0, m + c,
                                                                                         stride, c);
      });
  });
  if (p.n_pooled == p.n) return;
  const TilePixels at = tile_pixels(p, y0, x0);
  for (int c = p.n_pooled; c < p.n; c += Features::kStep) {
    const float* const bias = p.store.bias ? p.store.bias + c : nullptr;
    float* const sum = sums ? sums + c : nullptr;
    with_groups<Features>(p.n - c, [&](auto groups) {
      store_channels<Products, Features, decltype(groups)::value>(p.store, at, m + c, stride,
                                                                  c - p.n_pooled, bias, sum);
    });
  }
}
