// Products over the rows of a list of pixels: 3x3 convolutions at scattered pixels, 1x1 products.

template <int Rows>
SMSR_INLINE void store_rows(const Store& s, const float* value, int n, const int64_t (&pixel)[Rows],
                            int rows) {
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < n; c += SMSR_LANES)
      put(s.out + pixel[r] * kLine + channel_at(c, s.line), load(value + int64_t(r) * n + c),
          s.streams);
}

// Where a source is read for an output pixel.
SMSR_INLINE const float* source_row(const Source& source, int64_t pixel) {
  const int64_t at = pixel + source.offset;
  const bool seen = !source.activity || source.activity[at] == kActive;
  return source.base + (seen ? at * kLine : 0);  // pixel 0 lies in the border of zeros
}

// The products of a group of rows with `Panels` panels of weights from `w` on: of the sources as they
// lie, or, in bfloat16, of the rows that were gathered, `depth` elements each.
template <class Product, int Rows, int Panels>
SMSR_INLINE void multiply_rows(const smsr::Rows& p, const typename Product::Element* w,
                               int64_t depth, int c, const int64_t (&pixel)[Rows],
                               const typename Product::Element* gathered, float* value) {
  const int64_t panel = depth * kLine;
  Vec acc[Rows][Panels * kVecs] = {};
  if constexpr (Product::kGathers) {
    const typename Product::Element* a[Rows];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) a[r] = gathered + r * (depth + kLine);
    Product::template multiply<Rows, Panels>(acc, a, w, panel, int(depth));
  } else {
    for (int s = 0; s < p.num_sources; ++s) {
      const Source& source = p.sources[s];
      const float* a[Rows];
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) a[r] = source_row(source, pixel[r]);
      int64_t line = 0;
      for (int left = source.k; left > 0; left -= kLine, line += source.line) {
        const int k = left < kLine ? left : kLine;
        Product::template multiply<Rows, Panels>(acc, a, w, panel, k, line);
        w += int64_t(k) * kLine;
      }
    }
  }
  const Store& s = p.store;
#pragma GCC unroll 16
  for (int i = 0; i < Panels * kVecs; ++i) {
    const int at = c + i * SMSR_LANES;
    const Vec bias = s.bias ? load(s.bias + at) : Vec{};
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      store(value + int64_t(r) * p.n + at, finished(s, acc[r][i] + bias, pixel[r] * kLine, at));
    }
  }
}

template <class Product, int Rows, int Panels>
SMSR_INLINE void chain_rows(const smsr::Rows& p, const typename Product::Element* w, int64_t depth,
                            int c, const typename Product::Element* gathered, const float* value,
                            const int64_t (&pixel)[Rows], int rows) {
  const typename Product::Element* a[Rows];
  const int64_t panel = depth * kLine;
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) {
      const int at = c + i * SMSR_LANES;
      acc[r][i] = load(p.chain_bias ? p.chain_bias + at
                                    : p.chain_out + pixel[r] * kLine + channel_at(at, p.chain_line));
    }
  if constexpr (Product::kGathers) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) a[r] = gathered + r * (depth + kLine);
    Product::template multiply<Rows, Panels>(acc, a, w, panel, int(depth));
  } else {
    if (p.chain_residual) {
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) a[r] = p.store.residual + pixel[r] * kLine;
      for (int k = 0; k < p.n; k += kLine, w += kLine * kLine)
        Product::template multiply<Rows, Panels>(acc, a, w, panel, kLine,
                                                 channel_at(k, p.store.residual_line));
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) a[r] = value + int64_t(r) * p.n;
    Product::template multiply<Rows, Panels>(acc, a, w, panel, p.n);
  }
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

// What a group of rows is multiplied with, in bfloat16: its sources one after the other.
template <class Product, int Rows>
SMSR_INLINE void gather_rows(const smsr::Rows& p, const int64_t (&pixel)[Rows], int64_t depth,
                             typename Product::Element* gathered) {
  for (int s = 0; s < p.num_sources; ++s) {
    const Source& source = p.sources[s];
    int64_t line = 0;
    for (int left = source.k; left > 0; left -= kLine, line += source.line) {
      for (int r = 0; r < Rows; ++r)
        Product::keep_first(gathered + r * (depth + kLine), source_row(source, pixel[r]) + line,
                            left);
      gathered += Product::whole(left < kLine ? left : kLine);
    }
  }
}

template <class Product, int Rows>
SMSR_INLINE void gather_chain(const smsr::Rows& p, const int64_t (&pixel)[Rows], int64_t depth,
                              const float* value, typename Product::Element* gathered) {
  for (int r = 0; r < Rows; ++r, gathered += depth + kLine) {
    typename Product::Element* at = gathered;
    if (p.chain_residual)
      for (int c = 0; c < p.n; c += kLine, at += kLine)
        Product::keep(at, load(p.store.residual + pixel[r] * kLine +
                               channel_at(c, p.store.residual_line)));
    for (int c = 0; c < p.n; c += kLine, at += kLine)
      Product::keep(at, load(value + int64_t(r) * p.n + c));
  }
}

template <class Product, int Rows>
SMSR_INLINE void rows_group(const smsr::Rows& p, int begin, int rows, int64_t depth, float* value,
                            typename Product::Element* gathered, float* sums) {
  using Element = typename Product::Element;
  int64_t pixel[Rows];  // the last one again where fewer are left
  for (int r = 0; r < Rows; ++r) pixel[r] = p.pixels[begin + (r < rows ? r : rows - 1)];
  if constexpr (Product::kGathers) gather_rows<Product>(p, pixel, depth, gathered);
  for_panels<Rows>(p.n / kLine, [&](int panel, auto panels) {
    multiply_rows<Product, Rows, decltype(panels)::value>(
        p, static_cast<const Element*>(p.weights) + panel * depth * kLine, depth, panel * kLine,
        pixel, gathered, value);
  });
  if (p.chain_weights) {
    const int64_t chain_depth = p.chain_residual ? 2 * p.n : p.n;
    if constexpr (Product::kGathers) gather_chain<Product>(p, pixel, chain_depth, value, gathered);
    for_panels<Rows>(p.chain_n / kLine, [&](int panel, auto panels) {
      chain_rows<Product, Rows, decltype(panels)::value>(
          p, static_cast<const Element*>(p.chain_weights) + panel * chain_depth * kLine, chain_depth,
          panel * kLine, gathered, value, pixel, rows);
    });
  }
  store_rows(p.store, value, p.n, pixel, rows);  // last: `out` may be the residual
  if (sums)
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < p.n; c += SMSR_LANES)
        store(sums + c, load(sums + c) + load(value + int64_t(r) * p.n + c));
}

template <class Product>
void rows(const smsr::Rows& p, int first, int last, float* scratch) {
  int64_t depth = 0;
  for (int s = 0; s < p.num_sources; ++s) depth += Product::whole(p.sources[s].k);
  float* const value = scratch;
  float* const sums = value + int64_t(kRowBlock) * p.n;
  auto* const gathered = reinterpret_cast<typename Product::Element*>(sums + p.n);
  for (int item = first; item < last; ++item) {
    const int begin = item * kRowBlock;
    const int end = p.count - begin < kRowBlock ? p.count : begin + kRowBlock;
    for (int c = 0; c < p.n; ++c) sums[c] = 0;
    with_rows(p.n / kLine, [&](auto rows) {
      constexpr int R = decltype(rows)::value;
      for (int i = begin; i < end; i += R) {
        prefetch_rows(p, i + R, i + 2 * R < p.count ? i + 2 * R : p.count);
        rows_group<Product, R>(p, i, end - i < R ? end - i : R, depth, value, gathered,
                               p.store.sums ? sums : nullptr);
      }
    });
    if (p.store.sums)
      for (int c = 0; c < p.n; ++c) p.store.sums[int64_t(item) * p.n + c] = sums[c];
  }
  if (p.store.streams || p.chain_streams) streamed();
}
