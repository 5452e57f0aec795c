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

// Transforms `Groups` vectors of channels of a patch; frequency f goes to v + f * stride. Pixels are read
// where they lie, or, if `there` is given, only those that it marks, and `rest` for the others.
template <class Product, int Groups, class Element>
SMSR_INLINE void transform_patch(const Element* patch, int64_t row, const bool* there,
                                 const Element* rest, typename Product::Element* v,
                                 int64_t stride) {
  using Features = typename Product::Features;
  Vec half[Groups][kPatch][kPatch];  // [column][frequency]
  for (int x = 0; x < kPatch; ++x) {
    Vec d[Groups][kPatch];
#pragma GCC unroll 6
    for (int y = 0; y < kPatch; ++y) {
      Vec at[Groups];
      const Element* const pixel = patch + (y * row + x) * kLineOf<Element>;
      Features::template read<Groups>(!there || there[y * kPatch + x] ? pixel : rest, at);
#pragma GCC unroll 2
      for (int g = 0; g < Groups; ++g) d[g][y] = at[g];
    }
#pragma GCC unroll 2
    for (int g = 0; g < Groups; ++g) input_transform(d[g], half[g][x]);
  }
#pragma GCC unroll 6
  for (int f = 0; f < kPatch; ++f) {
    Vec t[Groups][kPatch];
#pragma GCC unroll 2
    for (int g = 0; g < Groups; ++g) {
      Vec d[kPatch];
#pragma GCC unroll 6
      for (int x = 0; x < kPatch; ++x) d[x] = half[g][x][f];
      input_transform(d, t[g]);
    }
#pragma GCC unroll 6
    for (int x = 0; x < kPatch; ++x) {
      Vec at[Groups];
#pragma GCC unroll 2
      for (int g = 0; g < Groups; ++g) at[g] = t[g][x];
      Product::template keep<Groups>(v + (f * kPatch + x) * stride, at);
    }
  }
}

// Transforms the patch of one tile.
template <class Product>
SMSR_INLINE void load_tile(const Tiles& p, int64_t corner, typename Product::Element* v,
                           int64_t stride) {
  using Features = typename Product::Features;
  using Element = typename Features::Element;
  const int64_t row = p.geometry.stride();
  bool there[kFrequencies];
  const bool every = !p.activity_in || whole_patch(p.activity_in + corner, row, there);
  const auto* const plane = static_cast<const Element*>(p.in);
  const auto* const rests = static_cast<const Element*>(p.rest);
  for (int c = 0; c < p.k; c += Features::kStep) {
    const bool masked = !every && c >= p.k_dense;
    const Element* const line = plane + channel_at<Element>(c, p.in_line);
    const Element* const at = line + corner * kLineOf<Element>;
    const Element* const rest = rests ? rests + c : line;  // pixel 0 lies in the border of zeros
    if (Features::kGroups == 2 && p.k - c < Features::kStep) {
      transform_patch<Product, 1>(at, row, masked ? there : nullptr, rest, v + c, stride);
    } else if (masked) {
      transform_patch<Product, Features::kGroups>(at, row, there, rest, v + c, stride);
    } else {
      transform_patch<Product, Features::kGroups>(at, row, nullptr, rest, v + c, stride);
    }
  }
}

template <class Product, int Rows, int Panels>
SMSR_INLINE void multiply_tiles(const Tiles& p, const typename Product::Element* v,
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

// What `store_tile` asks of a tile's products: those of a vector of outputs, column by column. Here they
// are frequencies, `stride` apart, and transformed back.
struct Frequencies {
  using Channels = Vec[kPatch][kTile];

  SMSR_INLINE void read(const Store&, int, const float* m, int64_t stride, Channels& half) {
    for (int f = 0; f < kPatch; ++f) {
      Vec row[kPatch];
#pragma GCC unroll 6
      for (int x = 0; x < kPatch; ++x) row[x] = load(m + (f * kPatch + x) * stride);
      output_transform(row, half[f]);
    }
  }

  SMSR_INLINE void column(const Channels& half, int x, Vec (&y)[kTile]) {
    Vec column[kPatch];
#pragma GCC unroll 6
    for (int f = 0; f < kPatch; ++f) column[f] = half[f][x];
    output_transform(column, y);
  }
};

// Asks for a share of what the next work item, from tile number `begin` on, will read, while this one
// multiplies at frequency f.
template <class Product>
SMSR_INLINE void prefetch_share(const Tiles& p, int begin, int f) {
  using Element = typename Product::Features::Element;
  const Geometry& g = p.geometry;
  static_assert(kTileBlock * kPatch % kFrequencies == 0);
  constexpr int rows = kTileBlock * kPatch / kFrequencies;
  static_assert(kPatch % rows == 0);
  const int at = begin + f * rows / kPatch, y0 = f * rows % kPatch;
  if (at >= p.count) return;
  const int tile = p.tiles[at];
  const int64_t corner = g.index(tile / g.tile_cols() * kTile - 1, tile % g.tile_cols() * kTile - 1);
  for (int c = 0; c < p.k; c += kLineOf<Element>)
    for (int y = y0; y < y0 + rows; ++y)
      for (int x = 2; x < kPatch; ++x)
        __builtin_prefetch(static_cast<const Element*>(p.in) + channel_at<Element>(c, p.in_line) +
                           (corner + y * g.stride() + x) * kLineOf<Element>);
}

// `Out` is what the outputs that are not pooled are stored as.
template <class Product, class Out>
void winograd(const Tiles& p, int first, int last, float* scratch) {
  using Element = typename Product::Element;
  const int64_t v_stride = frequency_stride<Element>(p.k), m_stride = frequency_stride<float>(p.n);
  auto* const v = reinterpret_cast<Element*>(scratch);
  float* const m = reinterpret_cast<float*>(v + kFrequencies * v_stride);
  float* const sums = m + kFrequencies * m_stride;
  const Geometry& g = p.geometry;
  for (int item = first; item < last; ++item) {
    const int begin = item * kTileBlock;
    const int tiles = p.count - begin < kTileBlock ? p.count - begin : kTileBlock;
    for (int t = 0; t < tiles; ++t) {
      const int tile = p.tiles[begin + t];
      const int64_t corner = g.index(tile / g.tile_cols() * kTile - 1,
                                     tile % g.tile_cols() * kTile - 1);
      load_tile<Product>(p, corner, v + int64_t(t) * p.k, v_stride);
    }
    for (int f = 0; f < kFrequencies; ++f) {
      prefetch_share<Product>(p, begin + kTileBlock, f);
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
      store_tile<Frequencies, Out>(p, p.tiles[begin + t], m + int64_t(t) * p.n, m_stride,
                      p.store.sums ? sums : nullptr);
    if (p.store.sums) {
      const int stored = p.n - p.n_pooled;
      for (int c = 0; c < stored; ++c)
        p.store.sums[int64_t(item) * stored + c] = sums[p.n_pooled + c];
    }
  }
  if (p.store.streams) streamed();
}
