// An attention that scales every value by a coarse view of its surroundings. A work item is a row.

typedef int32_t IntVec __attribute__((vector_size(SMSR_LANES * 4)));

// exp(v) to 2 units in the last place, for |v| <= 87; beyond that, that of the nearest.
SMSR_INLINE Vec exponential(Vec v) {
  v = v < -87.0f ? Vec{} - 87.0f : v;
  v = v > 87.0f ? Vec{} + 87.0f : v;
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers
  const Vec whole = (v * 1.44269504f + kMagic) - kMagic;
  // ln 2 in two parts, so that the difference is exact.
  const Vec f = (v - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vec e = f * (1 / 5040.0f) + 1 / 720.0f;
  e = e * f + 1 / 120.0f;
  e = e * f + 1 / 24.0f;
  e = e * f + 1 / 6.0f;
  e = e * f + 0.5f;
  e = e * f + 1.0f;
  e = e * f + 1.0f;
  const IntVec power = (__builtin_convertvector(whole, IntVec) + 127) << 23;
  return e * (Vec)power;
}

template <int Rows, int Panels>
SMSR_INLINE void attend_group(const Attend& p, const float* coarse, int64_t at, int x, int count,
                              int panel) {
  const float* a[Rows];  // of the last pixel again where fewer are left
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const int i = r < count ? r : count - 1;
    a[r] = p.row + (at + i) * kLine;
    const float* const low = coarse + int64_t(p.across.low[x + i]) * p.n + panel * kLine;
    const float* const high = coarse + int64_t(p.across.high[x + i]) * p.n + panel * kLine;
#pragma GCC unroll 16
    for (int v = 0; v < Panels * kVecs; ++v) {
      const Vec start = load(low + v * SMSR_LANES);
      acc[r][v] = start + p.across.share[x + i] * (load(high + v * SMSR_LANES) - start);
    }
  }
  const int64_t depth = int64_t(p.k) * kLine;
  const float* w = p.weights + panel * depth;
  int64_t line = 0;
  for (int left = p.k; left > 0; left -= kLine, line += p.row_line) {
    const int k = left < kLine ? left : kLine;
    FloatProduct::multiply<Rows, Panels>(acc, a, w, depth, k, line);
    w += int64_t(k) * kLine;
  }
#pragma GCC unroll 16
  for (int v = 0; v < Panels * kVecs; ++v) {
    const int c = panel * kLine + v * SMSR_LANES;
    const float* const from = p.x + at * kLine + channel_at(c, p.x_line);
    float* const to = p.out + at * kLine + channel_at(c, p.out_line);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
      if (r < count)
        put(to + r * kLine, load(from + r * kLine) / (1.0f + exponential(-acc[r][v])), p.streams);
  }
}

void attend(const Attend& p, int first, int last, float* scratch) {
  const Geometry& coarse = p.coarse_geometry;
  const int width = p.geometry.width;
  for (int y = first; y < last; ++y) {
    const float* const low = p.coarse + coarse.index(p.down.low[y], 0) * kLine;
    const float* const high = p.coarse + coarse.index(p.down.high[y], 0) * kLine;
    for (int x = 0; x < coarse.width; ++x)
      for (int c = 0; c < p.n; c += SMSR_LANES) {
        const int64_t at = x * kLine + channel_at(c, p.coarse_line);
        const Vec start = load(low + at);
        store(scratch + int64_t(x) * p.n + c,
              start + p.down.share[y] * (load(high + at) - start));
      }
    with_rows(p.n / kLine, [&](auto rows) {
      constexpr int R = decltype(rows)::value;
      for (int x = 0; x < width; x += R)
        for_panels<R>(p.n / kLine, [&](int panel, auto panels) {
          attend_group<R, decltype(panels)::value>(p, scratch, p.geometry.index(y, x), x,
                                                   width - x < R ? width - x : R, panel);
        });
    });
  }
  if (p.streams) streamed();
}
