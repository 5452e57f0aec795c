// Winograd F(4x4, 3x3): 36 products in place of 144 multiplications per output tile and channel
// pair. Interpolation points 0, a, -a, b, -b and infinity with a = sqrt(1/2), b = sqrt(2): their
// powers differ less than those of 1 and 2, which leaves a third of the error of bfloat16 products.

constexpr float kRootHalf = 0.70710678f, kRootTwo = 1.41421356f;

SMSR_INLINE void input_transform(const Vec (&d)[kPatch], Vec (&t)[kPatch]) {
  const Vec even = d[4] - 2.0f * d[2], odd = d[3] - 2.0f * d[1];
  const Vec even2 = d[4] - 0.5f * d[2], odd2 = d[3] - 0.5f * d[1];
  t[0] = d[0] - 2.5f * d[2] + d[4];
  t[1] = even + kRootHalf * odd;
  t[2] = even - kRootHalf * odd;
  t[3] = even2 + kRootTwo * odd2;
  t[4] = even2 - kRootTwo * odd2;
  t[5] = d[1] - 2.5f * d[3] + d[5];
}

SMSR_INLINE void output_transform(const Vec (&m)[kPatch], Vec (&y)[kTile]) {
  const Vec sum = m[1] + m[2], difference = m[1] - m[2];
  const Vec sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum + sum2;
  y[1] = kRootHalf * difference + kRootTwo * difference2;
  y[2] = 0.5f * sum + 2.0f * sum2;
  y[3] = 0.5f * kRootHalf * difference + 2.0f * kRootTwo * difference2 + m[5];
}

// Transforms the patch of one tile; frequency f goes to v + f * stride.
template <class Product>
SMSR_INLINE void load_tile(const Winograd& p, int64_t corner, typename Product::Element* v,
                           int64_t stride) {
  const int64_t row = p.geometry.stride();
  const float* const patch = p.in + corner * kLine;
  bool every = true;  // every pixel of the patch is active, or in the border of zeros
  bool there[kFrequencies];
  if (p.activity_in) {
    for (int y = 0; y < kPatch; ++y)
      for (int x = 0; x < kPatch; ++x) {
        there[y * kPatch + x] = p.activity_in[corner + y * row + x] != kInactive;
        every &= there[y * kPatch + x];
      }
  }
  for (int c = 0; c < p.k; c += SMSR_LANES) {
    Vec half[kPatch][kPatch];  // [column][frequency]
    const bool masked = p.activity_in && !every && c >= p.k_dense;
    const float* const lane = patch + channel_at(c, p.in_line);
    // Pixel 0 lies in the border of zeros.
    const float* const rest = p.rest ? p.rest + c : p.in + channel_at(c, p.in_line);
    for (int x = 0; x < kPatch; ++x) {
      Vec d[kPatch];
      if (masked) {
#pragma GCC unroll 6
        for (int y = 0; y < kPatch; ++y)
          d[y] = load(there[y * kPatch + x] ? lane + (y * row + x) * kLine : rest);
      } else {
#pragma GCC unroll 6
        for (int y = 0; y < kPatch; ++y) d[y] = load(lane + (y * row + x) * kLine);
      }
      input_transform(d, half[x]);
    }
#pragma GCC unroll 6
    for (int f = 0; f < kPatch; ++f) {
      Vec d[kPatch], t[kPatch];
#pragma GCC unroll 6
      for (int x = 0; x < kPatch; ++x) d[x] = half[x][f];
      input_transform(d, t);
#pragma GCC unroll 6
      for (int x = 0; x < kPatch; ++x) Product::keep(v + (f * kPatch + x) * stride + c, t[x]);
    }
  }
}

template <class Product, int Rows, int Panels>
SMSR_INLINE void multiply_tiles(const Winograd& p, const typename Product::Element* v,
                                const typename Product::Element* u, float* m, int tiles) {
  for (int t = 0; t < tiles; t += Rows) {
    const typename Product::Element* a[Rows];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) a[r] = v + int64_t(t + r) * p.k;
    Vec acc[Rows][Panels * kVecs] = {};
    Product::template multiply<Rows, Panels>(acc, a, u, int64_t(p.k) * kLine, p.k);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
      for (int i = 0; i < Panels * kVecs; ++i)
        store(m + int64_t(t + r) * p.n + i * SMSR_LANES, acc[r][i]);
  }
}

// Inverse transform of one tile, then bias, residual, ReLU, mask or pooling on the way out.
SMSR_INLINE void store_tile(const Winograd& p, int tile, const float* m, int64_t stride,
                            float* sums) {
  const Geometry& g = p.geometry;
  const Store& s = p.store;
  const int y0 = tile / g.tile_cols() * kTile, x0 = tile % g.tile_cols() * kTile;
  bool stored[kTile][kTile];
  int64_t pixel[kTile][kTile];
  for (int y = 0; y < kTile; ++y)
    for (int x = 0; x < kTile; ++x) {
      pixel[y][x] = g.index(y0 + y, x0 + x);
      stored[y][x] = y0 + y < g.height && x0 + x < g.width &&
                     (!p.activity_out || p.activity_out[pixel[y][x]] == p.stored);
    }
  for (int c = 0; c < p.n; c += SMSR_LANES) {
    Vec half[kPatch][kTile];
    for (int f = 0; f < kPatch; ++f) {
      Vec row[kPatch];
#pragma GCC unroll 6
      for (int x = 0; x < kPatch; ++x) row[x] = load(m + (f * kPatch + x) * stride + c);
      output_transform(row, half[f]);
    }
    const Vec bias = s.bias ? load(s.bias + c) : Vec{};
    Vec sum = {};
    const int64_t lane = channel_at(c, s.line);
    Vec pooled[kTile / 2] = {};
    for (int x = 0; x < kTile; ++x) {
      Vec column[kPatch], y[kTile];
#pragma GCC unroll 6
      for (int f = 0; f < kPatch; ++f) column[f] = half[f][x];
      output_transform(column, y);
#pragma GCC unroll 4
      for (int i = 0; i < kTile; ++i) {
        if (s.pool) {
          pooled[i / 2] += activated(s, y[i] + bias);
        } else if (stored[i][x]) {
          const int64_t at = pixel[i][x] * kLine;
          const Vec value = finished(s, y[i] + bias, at, c);
          put(s.out + at + lane, value, s.streams);
          sum += value;
        }
      }
      if (s.pool && x % 2) {
        const Geometry half_size{g.height / 2, g.width / 2};
#pragma GCC unroll 2
        for (int i = 0; i < kTile / 2; ++i) {
          if (stored[2 * i][x - 1])
            store(s.out + half_size.index(y0 / 2 + i, (x0 + x) / 2) * kLine + lane,
                  0.25f * pooled[i]);
          pooled[i] = Vec{};
        }
      }
    }
    if (sums) store(sums + c, load(sums + c) + sum);
  }
}

SMSR_INLINE void prefetch_tile(const Winograd& p, int tile) {
  const Geometry& g = p.geometry;
  const int64_t corner = g.index(tile / g.tile_cols() * kTile - 1, tile % g.tile_cols() * kTile - 1);
  for (int c = 0; c < p.k; c += kLine)
    for (int y = 0; y < kPatch; ++y)
      for (int x = 2; x < kPatch; ++x)
        __builtin_prefetch(p.in + channel_at(c, p.in_line) + (corner + y * g.stride() + x) * kLine);
}

template <class Product>
void winograd(const Winograd& p, int first, int last, float* scratch) {
  using Element = typename Product::Element;
  const int64_t v_stride = frequency_stride(p.k), m_stride = frequency_stride(p.n);
  auto* const v = reinterpret_cast<Element*>(scratch);
  float* const m = scratch + kFrequencies * v_stride;
  float* const sums = m + kFrequencies * m_stride;
  const Geometry& g = p.geometry;
  for (int item = first; item < last; ++item) {
    const int begin = item * kTileBlock;
    const int tiles = p.count - begin < kTileBlock ? p.count - begin : kTileBlock;
    for (int t = 0; t < tiles; ++t) {
      if (begin + t + 3 < p.count) prefetch_tile(p, p.tiles[begin + t + 3]);
      const int tile = p.tiles[begin + t];
      const int64_t corner = g.index(tile / g.tile_cols() * kTile - 1,
                                     tile % g.tile_cols() * kTile - 1);
      load_tile<Product>(p, corner, v + int64_t(t) * p.k, v_stride);
    }
    for (int f = 0; f < kFrequencies; ++f) {
      const auto* const u = static_cast<const Element*>(p.weights) + int64_t(f) * p.k * p.n;
      with_rows(p.n / kLine, [&](auto rows) {
        constexpr int R = decltype(rows)::value;
        for_panels<R>(p.n / kLine, [&](int panel, auto panels) {
          multiply_tiles<Product, R, decltype(panels)::value>(
              p, v + f * v_stride, u + int64_t(panel) * p.k * kLine,
              m + f * m_stride + panel * kLine, tiles);
        });
      });
    }
    for (int c = 0; c < p.n; ++c) sums[c] = 0;
    for (int t = 0; t < tiles; ++t)
      store_tile(p, p.tiles[begin + t], m + int64_t(t) * p.n, m_stride,
                 p.store.sums ? sums : nullptr);
    if (p.store.sums)
      for (int c = 0; c < p.n; ++c) p.store.sums[int64_t(item) * p.n + c] = sums[c];
  }
  if (p.store.streams) streamed();
}
