// Products over the rows of a list of pixels: 3x3 convolutions at scattered pixels, 1x1 products.

template <int Rows>
SMSR_INLINE void store_rows(const Store& s, const float* value, int n, const int64_t (&pixel)[Rows],
                            int rows) {
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < n; c += SMSR_LANES)
      put(s.out + pixel[r] * kLine + channel_at(c, s.line), load(value + int64_t(r) * n + c),
          s.streams);
}

template <int Rows, int Panels>
SMSR_INLINE void multiply_rows(const smsr::Rows& p, const float* w, int64_t panel_stride, int c,
                               const int64_t (&pixel)[Rows], float* value) {
  Vec acc[Rows][Panels * kVecs] = {};
  for (int s = 0; s < p.num_sources; ++s) {
    const Source& source = p.sources[s];
    const float* a[Rows];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const int64_t at = pixel[r] + source.offset;
      const bool seen = !source.activity || source.activity[at] == kActive;
      a[r] = source.base + (seen ? at * kLine : 0);  // pixel 0 lies in the border of zeros
    }
    int64_t line = 0;
    for (int left = source.k; left > 0; left -= kLine, line += source.line) {
      const int k = left < kLine ? left : kLine;
      multiply<Rows, Panels>(acc, a, w, panel_stride, k, line);
      w += int64_t(k) * kLine;
    }
  }
  const Store& s = p.store;
#pragma GCC unroll 16
  for (int i = 0; i < Panels * kVecs; ++i) {
    const int at = c + i * SMSR_LANES;
    const Vec bias = s.bias ? load(s.bias + at) : Vec{};
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      Vec v = acc[r][i] + bias;
      if (s.residual) v += load(s.residual + pixel[r] * kLine + channel_at(at, s.residual_line));
      if (s.relu) v = relu(v);
      store(value + int64_t(r) * p.n + at, v);
    }
  }
}

template <int Rows, int Panels>
SMSR_INLINE void chain_rows(const smsr::Rows& p, const float* w, int c, const float* value,
                            const int64_t (&pixel)[Rows], int rows) {
  const float* a[Rows];
  const int64_t panel_stride = int64_t(p.chain_residual ? 2 * p.n : p.n) * kLine;
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) {
      const int at = c + i * SMSR_LANES;
      acc[r][i] = load(p.chain_bias ? p.chain_bias + at
                                    : p.chain_out + pixel[r] * kLine + channel_at(at, p.chain_line));
    }
  if (p.chain_residual) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) a[r] = p.store.residual + pixel[r] * kLine;
    for (int k = 0; k < p.n; k += kLine, w += kLine * kLine)
      multiply<Rows, Panels>(acc, a, w, panel_stride, kLine, channel_at(k, p.store.residual_line));
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) a[r] = value + int64_t(r) * p.n;
  multiply<Rows, Panels>(acc, a, w, panel_stride, p.n);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (r >= rows) break;
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) {
      const Vec v = p.chain_relu ? relu(acc[r][i]) : acc[r][i];
      put(p.chain_out + pixel[r] * kLine + channel_at(c + i * SMSR_LANES, p.chain_line), v,
          p.chain_streams);
    }
  }
}

SMSR_INLINE void prefetch(const float* first, int64_t line, int channels) {
  for (int c = 0; c < channels; c += kLine, first += line) __builtin_prefetch(first);
}

// Asks for the rows of the pixels [begin, end): lists of pixels are no pattern that the processor
// could foresee. Of neighbouring sources only the last is new.
SMSR_INLINE void prefetch_rows(const smsr::Rows& p, int begin, int end) {
  for (int i = begin; i < end; ++i) {
    const int64_t pixel = p.pixels[i];
    for (int s = 0; s < p.num_sources; ++s) {
      const Source& source = p.sources[s];
      if (s + 1 < p.num_sources && source.base == p.sources[s + 1].base) continue;
      prefetch(source.base + (pixel + source.offset) * kLine, source.line, source.k);
    }
    if (p.store.residual) prefetch(p.store.residual + pixel * kLine, p.store.residual_line, p.n);
    if (p.chain_weights && !p.chain_bias)
      prefetch(p.chain_out + pixel * kLine, p.chain_line, p.chain_n);
  }
}

template <int Rows>
SMSR_INLINE void rows_group(const smsr::Rows& p, int begin, int rows, int64_t k, float* value,
                            float* sums) {
  int64_t pixel[Rows];  // the last one again where fewer are left
  for (int r = 0; r < Rows; ++r) pixel[r] = p.pixels[begin + (r < rows ? r : rows - 1)];
  for_panels<Rows>(p.n / kLine, [&](int panel, auto panels) {
    multiply_rows<Rows, decltype(panels)::value>(p, p.weights + panel * k * kLine, k * kLine,
                                                 panel * kLine, pixel, value);
  });
  if (p.chain_weights)
    for_panels<Rows>(p.chain_n / kLine, [&](int panel, auto panels) {
      const int64_t depth = p.chain_residual ? 2 * p.n : p.n;
      chain_rows<Rows, decltype(panels)::value>(p, p.chain_weights + panel * depth * kLine,
                                                panel * kLine, value, pixel, rows);
    });
  store_rows(p.store, value, p.n, pixel, rows);  // last: `out` may be the residual
  if (sums)
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < p.n; c += SMSR_LANES)
        store(sums + c, load(sums + c) + load(value + int64_t(r) * p.n + c));
}

void rows(const smsr::Rows& p, int first, int last, float* scratch) {
  int64_t k = 0;
  for (int s = 0; s < p.num_sources; ++s) k += p.sources[s].k;
  float* const value = scratch;
  float* const sums = value + int64_t(kRowBlock) * p.n;
  for (int item = first; item < last; ++item) {
    const int begin = item * kRowBlock;
    const int end = p.count - begin < kRowBlock ? p.count : begin + kRowBlock;
    for (int c = 0; c < p.n; ++c) sums[c] = 0;
    with_rows(p.n / kLine, [&](auto rows) {
      constexpr int R = decltype(rows)::value;
      for (int i = begin; i < end; i += R) {
        prefetch_rows(p, i + R, i + 2 * R < p.count ? i + 2 * R : p.count);
        rows_group<R>(p, i, end - i < R ? end - i : R, k, value, p.store.sums ? sums : nullptr);
      }
    });
    if (p.store.sums)
      for (int c = 0; c < p.n; ++c) p.store.sums[int64_t(item) * p.n + c] = sums[c];
  }
  if (p.store.streams || p.chain_streams) streamed();
}
