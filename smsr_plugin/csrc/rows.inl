// Products over the rows of a list of pixels: 3x3 convolutions at scattered pixels, 1x1 products.

template <int Rows>
SMSR_INLINE void store_rows(const Store& s, const float* value, int n, const int64_t (&pixel)[Rows],
                            int rows) {
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < n; c += SMSR_LANES)
      store(s.out + pixel[r] * s.stride + c, load(value + int64_t(r) * n + c));
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
      const bool zero = source.activity && source.activity[at] != kActive;
      a[r] = zero ? kZeros : static_cast<const float*>(source.base) + at * source.stride;
    }
    multiply<Rows, Panels>(acc, a, w, panel_stride, source.k);
    w += int64_t(source.k) * kLine;
  }
  const Store& s = p.store;
#pragma GCC unroll 16
  for (int i = 0; i < Panels * kVecs; ++i) {
    const int at = c + i * SMSR_LANES;
    const Vec bias = s.bias ? load(s.bias + at) : Vec{};
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      Vec v = acc[r][i] + bias;
      if (s.residual) v += load(s.residual + pixel[r] * s.stride + at);
      if (s.relu) v = relu(v);
      store(value + int64_t(r) * p.n + at, v);
    }
  }
}

template <int Rows, int Panels>
SMSR_INLINE void chain_rows(const smsr::Rows& p, const float* w, int c, const float* value,
                            const int64_t (&pixel)[Rows], int rows) {
  const float* a[Rows];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) a[r] = value + int64_t(r) * p.n;
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) {
      const int at = c + i * SMSR_LANES;
      acc[r][i] = load(p.chain_bias ? p.chain_bias + at
                                    : p.chain_out + pixel[r] * p.chain_stride + at);
    }
  multiply<Rows, Panels>(acc, a, w, int64_t(p.n) * kLine, p.n);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (r >= rows) break;
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) {
      const Vec v = p.chain_relu ? relu(acc[r][i]) : acc[r][i];
      store(p.chain_out + pixel[r] * p.chain_stride + c + i * SMSR_LANES, v);
    }
  }
}

SMSR_INLINE void prefetch(const float* row, int64_t floats) {
  for (int64_t i = 0; i < floats; i += kLine) __builtin_prefetch(row + i);
}

// Asks for the rows of the pixels [begin, end): lists of pixels are no pattern that the processor
// could foresee. Of neighbouring sources only the last is new.
SMSR_INLINE void prefetch_rows(const smsr::Rows& p, int begin, int end) {
  for (int i = begin; i < end; ++i) {
    const int64_t pixel = p.pixels[i];
    for (int s = 0; s < p.num_sources; ++s) {
      const Source& source = p.sources[s];
      if (s + 1 < p.num_sources && source.base == p.sources[s + 1].base) continue;
      prefetch(static_cast<const float*>(source.base) + (pixel + source.offset) * source.stride,
               source.k);
    }
    if (p.store.residual) prefetch(p.store.residual + pixel * p.store.stride, p.n);
    if (p.chain_weights && !p.chain_bias)
      prefetch(p.chain_out + pixel * p.chain_stride, p.chain_n);
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
  store_rows(p.store, value, p.n, pixel, rows);
  if (sums)
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < p.n; c += SMSR_LANES)
        store(sums + c, load(sums + c) + load(value + int64_t(r) * p.n + c));
  if (!p.chain_weights) return;
  for_panels<Rows>(p.chain_n / kLine, [&](int panel, auto panels) {
    chain_rows<Rows, decltype(panels)::value>(p, p.chain_weights + int64_t(panel) * p.n * kLine,
                                              panel * kLine, value, pixel, rows);
  });
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
}
