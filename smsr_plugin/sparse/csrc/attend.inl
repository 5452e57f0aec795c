// An attention that scales every value by a coarse view of its surroundings. A work item is a row.

typedef int32_t IntVec __attribute__((vector_size(sizeof(Register))));

// x / (1 + 2^t), to a few units in the last place.
struct FloatGate {
  // 2^v for |v| <= 126; beyond that, that of the nearest.
  SMSR_INLINE Register power_of_two(Register v) {
    v = v < -126.0f ? Register{} - 126.0f : v;
    v = v > 126.0f ? Register{} + 126.0f : v;
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers
    const Register whole = (v + kMagic) - kMagic, f = v - whole;
    Register e = f * 1.52527338e-5f + 1.54035304e-4f;  // Taylor's series
    e = e * f + 1.33335581e-3f;
    e = e * f + 9.61812911e-3f;
    e = e * f + 5.55041087e-2f;
    e = e * f + 0.240226507f;
    e = e * f + 0.693147181f;
    e = e * f + 1.0f;
    const IntVec power = (__builtin_convertvector(whole, IntVec) + 127) << 23;
    return e * (Register)power;
  }

  SMSR_INLINE Vec scaled(Vec x, Vec t) {
    return x / (1.0f + each([&](Register v) { return power_of_two(v); }, t));
  }
};

// The coarse row at column `x`, resampled.
template <int Panels>
SMSR_INLINE void coarse_at(const Attend& p, const float* coarse, int x, int panel,
                           Vec (&v)[Panels * kVecs]) {
  const float* const low = coarse + int64_t(p.across.low[x]) * p.n + panel * kLine;
  const float* const high = coarse + int64_t(p.across.high[x]) * p.n + panel * kLine;
#pragma GCC unroll 16
  for (int i = 0; i < Panels * kVecs; ++i) {
    const Vec start = load(low + i * SMSR_LANES);
    v[i] = start + p.across.share[x] * (load(high + i * SMSR_LANES) - start);
  }
}

// Scales and stores the channels of a pixel by what their gates are taken from.
template <class Features, class Gate, int Panels>
SMSR_INLINE void scale_pixel(const Attend& p, int64_t pixel, int panel, Vec (&t)[Panels * kVecs]) {
  using Element = typename Features::Element;
  const auto* const x = static_cast<const Element*>(p.x) + pixel * kLineOf<Element>;
#pragma GCC unroll 16
  for (int v = 0; v < Panels * kVecs; ++v)
    t[v] = Gate::scaled(
        Features::in_order(x + channel_at<Element>(panel * kLine + v * SMSR_LANES, p.x_line)), t[v]);
  put_vectors<Features>(static_cast<Element*>(p.out) + pixel * kLineOf<Element>, p.out_line,
                        panel * kLine, t, p.streams);
}

template <class Product, class Gate, int Rows, int Panels>
SMSR_INLINE void attend_group(const Attend& p, const float* coarse, int64_t at, int x, int count,
                              int panel) {
  using Features = typename Product::Features;
  using Element = typename Product::Element;
  constexpr int line_length = kLineOf<Element>;
  const Element* a[Rows];  // of the last pixel again where fewer are left
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const int i = r < count ? r : count - 1;
    a[r] = static_cast<const Element*>(p.row) + (at + i) * line_length;
    coarse_at<Panels>(p, coarse, x + i, panel, acc[r]);
  }
  const int64_t depth = int64_t(Product::whole(p.k)) * kLine;
  const Element* w = static_cast<const Element*>(p.weights) + panel * depth;
  int64_t line = 0;
  for (int left = p.k; left > 0; left -= line_length, line += p.row_line) {
    const int k = left < line_length ? left : line_length;
    Product::template multiply<Rows, Panels>(acc, a, w, depth, k, line);
    w += int64_t(Product::whole(k)) * kLine;
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    if (r < count) scale_pixel<Features, Gate, Panels>(p, at + r, panel, acc[r]);
}

// The row of the coarse plane, resampled, for row `y`: what the columns that are computed lie between.
SMSR_INLINE void coarse_row(const Attend& p, int y, float* row) {
  const Geometry& coarse = p.coarse_geometry;
  const float* const low = p.coarse + coarse.index(p.down.low[y], 0) * kLine;
  const float* const high = p.coarse + coarse.index(p.down.high[y], 0) * kLine;
  int least = coarse.width, most = -1;
  for (int x = p.left; x < p.right; ++x) {
    least = p.across.low[x] < least ? p.across.low[x] : least;
    least = p.across.high[x] < least ? p.across.high[x] : least;
    most = p.across.low[x] > most ? p.across.low[x] : most;
    most = p.across.high[x] > most ? p.across.high[x] : most;
  }
  for (int x = least; x <= most; ++x)
    for (int c = 0; c < p.n; c += SMSR_LANES) {
      const int64_t at = x * kLine + channel_at(c, p.coarse_line);
      const Vec start = load(low + at);
      store(row + int64_t(x) * p.n + c, start + p.down.share[y] * (load(high + at) - start));
    }
}

// `Gate` says how 1 / (1 + 2^t) is taken.
template <class Product, class Gate>
void attend(const Attend& p, int first, int last, float* scratch) {
  for (int y = first; y < last; ++y) {
    coarse_row(p, y, scratch);
    with_rows(p.n / kLine, [&](auto rows) {
      constexpr int R = decltype(rows)::value;
      for (int x = p.left; x < p.right; x += R)
        for_panels<R>(p.n / kLine, [&](int panel, auto panels) {
          attend_group<Product, Gate, R, decltype(panels)::value>(
              p, scratch, p.geometry.index(y, x), x, p.right - x < R ? p.right - x : R, panel);
        });
    });
  }
  if (p.streams) streamed();
}
