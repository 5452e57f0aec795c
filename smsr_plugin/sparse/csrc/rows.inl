// Products over the rows of a list of pixels: 3x3 convolutions at scattered pixels, 1x1 products.

// Stores the rows of `value`, `n` floats each, in a plane.
template <class Features, int Rows>
SMSR_INLINE void store_rows(void* plane, int64_t line, bool streams, const float* value, int n,
                            const int64_t (&pixel)[Rows], int rows) {
  using Element = typename Features::Element;
  auto* const out = static_cast<Element*>(plane);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < n; c += Features::kStep) {
      Element* const at = out + pixel[r] * kLineOf<Element> + channel_at<Element>(c, line);
      const float* const from = value + int64_t(r) * n + c;
      with_groups<Features>(n - c, [&](auto groups) {
        constexpr int kGroups = decltype(groups)::value;
        Vec v[kGroups];
#pragma GCC unroll 4
        for (int g = 0; g < kGroups; ++g) v[g] = load(from + g * SMSR_LANES);
        Features::template put_line<kGroups>(at, v, streams);
      });
    }
}

// Where a vector of channels of a pixel lies.
template <class Features>
SMSR_INLINE const typename Features::Element* channels_at(const void* plane, int64_t line,
                                                          int64_t pixel, int c) {
  using Element = typename Features::Element;
  return static_cast<const Element*>(plane) + pixel * kLineOf<Element> +
         channel_at<Element>(c, line);
}

// Where a source is read for an output pixel.
template <class Element>
SMSR_INLINE const Element* source_row(const Source& source, int64_t pixel) {
  const int64_t at = pixel + source.offset;
  const bool seen = !source.activity || source.activity[at] == kActive;
  return static_cast<const Element*>(source.base) +
         (seen ? at * kLineOf<Element> : 0);  // pixel 0 lies in the border of zeros
}

// The sums over the sources of a group of rows, for `Panels` panels of weights, `panel` elements apart.
template <class Product, int Rows, int Panels>
SMSR_INLINE void sum_rows(const smsr::Rows& p, const typename Product::Element* w, int64_t panel,
                          const int64_t (&pixel)[Rows], float* sums) {
  using Element = typename Product::Element;
  constexpr int line_length = kLineOf<Element>;
  Vec acc[Rows][Panels * kVecs] = {};
  const Element* a[Rows];
  for (int s = 0; s < p.num_sources; ++s) {
    const Source& source = p.sources[s];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) a[r] = source_row<Element>(source, pixel[r]);
    int64_t line = 0;
    for (int left = source.k; left > 0; left -= line_length, line += source.line) {
      const int k = left < line_length ? left : line_length;
      Product::template multiply<Rows, Panels>(acc, a, w, panel, k, line);
      w += int64_t(Product::whole(k)) * kLine;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Panels * kVecs; ++i)
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) store(sums + int64_t(r) * p.n + i * SMSR_LANES, acc[r][i]);
}

// Calls f(i, Int<vectors>) for `Count` vectors, `Groups` at a time.
template <int Groups, int Count, class F>
SMSR_INLINE void for_groups(F f) {
#pragma GCC unroll 8
  for (int i = 0; i + Groups <= Count; i += Groups) f(i, Int<Groups>{});
  if constexpr (Count % Groups != 0) f(Count / Groups * Groups, Int<Count % Groups>{});
}

// Finishes the sums in `value` of a line of outputs from `c` on, or of what is left of a line, of the
// first `rows` of a group: they are stored, or stay in `value` where a chain needs them. Adds to `sums`.
template <class Sums, class Out, int Rows, int Groups>
SMSR_INLINE void finish_line(const smsr::Rows& p, int c, const int64_t (&pixel)[Rows], int rows,
                             float* value, float* sums) {
  using Element = typename Out::Element;
  const Store& s = p.store;
  auto* const out = static_cast<Element*>(s.out) + channel_at<Element>(c, s.line);
  Vec unit[Groups], bias[Groups], slope[Groups], scale[Groups], sum[Groups];
#pragma GCC unroll 4
  for (int g = 0; g < Groups; ++g) {
    const int at = c + g * SMSR_LANES;
    unit[g] = Sums::unit(s, at);
    bias[g] = s.bias ? load(s.bias + at) : Vec{};
    slope[g] = slopes_of(s, at);
    scale[g] = p.scale ? load(p.scale + at) : Vec{} + 1.0f;
    sum[g] = sums ? load(sums + at) : Vec{};
  }
  with_slopes(s, [&](auto leaky) {
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      if (r == rows) break;
      float* const row = value + int64_t(r) * p.n + c;
      Vec v[Groups];
#pragma GCC unroll 4
      for (int g = 0; g < Groups; ++g) {
        v[g] = finished<Out, decltype(leaky)::value>(
            s, (Sums::read(row + g * SMSR_LANES, unit[g]) + bias[g]) * scale[g], slope[g],
            s.residual ? channels_at<Out>(s.residual, s.residual_line, pixel[r], c + g * SMSR_LANES)
                       : nullptr);
        sum[g] += v[g];
      }
      if (p.keeps()) {
#pragma GCC unroll 4
        for (int g = 0; g < Groups; ++g) store(row + g * SMSR_LANES, v[g]);
      } else {
        Out::template put_line<Groups>(out + pixel[r] * kLineOf<Element>, v, s.streams);
      }
    }
  });
  if (sums)
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) store(sums + c + g * SMSR_LANES, sum[g]);
}

// The same of `Panels` panels of outputs, line by line.
template <class Sums, class Out, int Rows, int Panels>
SMSR_INLINE void finish_rows(const smsr::Rows& p, int c, const int64_t (&pixel)[Rows], int rows,
                             float* value, float* sums) {
  constexpr int kCount = Panels * kVecs, kGroups = Out::kGroups;
  for_groups<kGroups, kCount>([&](int i, auto groups) {
    finish_line<Sums, Out, Rows, decltype(groups)::value>(p, c + i * SMSR_LANES, pixel, rows, value, sums);
  });
}

// The share of finished rows in the chain's sums: of the residual where it lies, and of the rows.
template <class Product, class Out, int Rows, int Panels>
SMSR_INLINE void chain_rows(const smsr::Rows& p, const typename Product::Element* w, int64_t depth,
                            int c, const typename Product::Element* kept,
                            const int64_t (&pixel)[Rows], float* chained) {
  using Element = typename Product::Element;
  constexpr int line_length = kLineOf<Element>;
  const Element* a[Rows];
  const int64_t panel = depth * kLine;
  const auto begin = [&](int r, int at) {
    return p.chain_bias ? load(p.chain_bias + at)
                        : Out::in_order(channels_at<Out>(p.chain_out, p.chain_line, pixel[r], at));
  };
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) acc[r][i] = begin(r, c + i * SMSR_LANES);
  if (p.chain_residual) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
      a[r] = static_cast<const Element*>(p.store.residual) + pixel[r] * line_length;
    for (int done = 0; done < p.n; done += line_length) {
      const int k = p.n - done < line_length ? p.n - done : line_length;
      Product::template multiply<Rows, Panels>(
          acc, a, w, panel, k, channel_at<Element>(done, p.store.residual_line));
      w += int64_t(k) * kLine;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) a[r] = kept + int64_t(r) * p.n;
  Product::template multiply<Rows, Panels>(acc, a, w, panel, p.n);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i)
      store(chained + int64_t(r) * p.chain_n + c + i * SMSR_LANES,
            p.chain_relu ? relu(acc[r][i]) : acc[r][i]);
}

// Rows as they are multiplied in the chain: themselves, or rounded into `rounded`.
template <class Product, int Rows>
SMSR_INLINE const typename Product::Element* kept_rows(const smsr::Rows& p, const float* value,
                                                       typename Product::Element* rounded) {
  if constexpr (sizeof(typename Product::Element) == sizeof(float)) {
    return value;
  } else {
    typename Product::Element* at = rounded;
    for (int r = 0; r < Rows; ++r)
      for (int c = 0; c < Product::whole(p.n); c += SMSR_LANES, at += SMSR_LANES) {
        const Vec v[1] = {c < p.n ? load(value + int64_t(r) * p.n + c) : Vec{}};
        Product::template keep<1>(at, v);
      }
    return rounded;
  }
}

template <class Element>
SMSR_INLINE void prefetch(const void* plane, int64_t pixel, int64_t line, int channels) {
  const Element* first = static_cast<const Element*>(plane) + pixel * kLineOf<Element>;
  for (int c = 0; c < channels; c += kLineOf<Element>, first += line) __builtin_prefetch(first);
}

// Ask for what is read at the pixels [begin, end), as far as they are listed: lists of pixels are no pattern
// that the processor could foresee. Of neighbouring sources only the last is new.
template <class In>
SMSR_INLINE void prefetch_sources(const smsr::Rows& p, int begin, int end) {
  for (int i = begin; i < end && i < p.count; ++i)
    for (int s = 0; s < p.num_sources; ++s) {
      const Source& source = p.sources[s];
      if (s + 1 < p.num_sources && source.base == p.sources[s + 1].base) continue;
      prefetch<In>(source.base, p.pixels[i] + source.offset, source.line, source.k);
    }
}

// The same of the planes that are added to.
template <class Out>
SMSR_INLINE void prefetch_added(const smsr::Rows& p, int begin, int end) {
  for (int i = begin; i < end && i < p.count; ++i) {
    if (p.store.residual) prefetch<Out>(p.store.residual, p.pixels[i], p.store.residual_line, p.n);
    if (p.chain_weights && !p.chain_bias)
      prefetch<Out>(p.chain_out, p.pixels[i], p.chain_line, p.chain_n);
  }
}

// Where a thread keeps the rows of a group: finished ones, the chain's, and rounded ones.
template <class Element>
struct RowMemory {
  float *value, *chained;
  Element* rounded;
};

// The pixels of a group; the last one again where fewer are left.
template <int Rows>
SMSR_INLINE void group_of_pixels(const smsr::Rows& p, int begin, int rows, int64_t (&pixel)[Rows]) {
  for (int r = 0; r < Rows; ++r) pixel[r] = p.pixels[begin + (r < rows ? r : rows - 1)];
}

template <class Element>
SMSR_INLINE const Element* weights_of(const smsr::Rows& p, int panel, int64_t depth) {
  return static_cast<const Element*>(p.weights) + panel * depth * kLine;
}

template <class Product, class Out, int Rows>
SMSR_INLINE void rows_group(const smsr::Rows& p, int begin, int rows, int64_t depth,
                            const RowMemory<typename Product::Element>& memory, float* sums) {
  using Element = typename Product::Element;
  int64_t pixel[Rows];
  group_of_pixels(p, begin, rows, pixel);
  for_panels<Rows>(p.n / kLine, [&](int panel, auto panels) {
    constexpr int P = decltype(panels)::value;
    // The sums have left their registers before they are finished: where that is done in several ways,
    // with slopes or without, sixteen registers do not hold both, and the products would spill.
    sum_rows<Product, Rows, P>(p, weights_of<Element>(p, panel, depth), depth * kLine, pixel,
                               memory.value + panel * kLine);
    finish_rows<FloatSums, Out, Rows, P>(p, panel * kLine, pixel, rows, memory.value, sums);
  });
  if (p.chain_weights) {
    const int64_t chain_depth = (p.chain_residual ? 2 : 1) * int64_t(Product::whole(p.n));
    const Element* const kept = kept_rows<Product, Rows>(p, memory.value, memory.rounded);
    for_panels<Rows>(p.chain_n / kLine, [&](int panel, auto panels) {
      chain_rows<Product, Out, Rows, decltype(panels)::value>(
          p, static_cast<const Element*>(p.chain_weights) + panel * chain_depth * kLine, chain_depth,
          panel * kLine, kept, pixel, memory.chained);
    });
    store_rows<Out>(p.chain_out, p.chain_line, p.chain_streams, memory.chained, p.chain_n, pixel,
                    rows);
    const Store& s = p.store;  // last: `out` may be the residual
    store_rows<Out>(s.out, s.line, s.streams, memory.value, p.n, pixel, rows);
  }
}

// `Out` is what rows are stored as, and what the residual and the chain's sums are.
template <class Product, class Out>
void rows(const smsr::Rows& given, int first, int last, float* scratch) {
  const smsr::Rows p = given;  // else read again after whatever is stored
  int64_t depth = 0;
  for (int s = 0; s < p.num_sources; ++s) depth += Product::whole(p.sources[s].k);
  float* const sums = scratch;
  RowMemory<typename Product::Element> memory;
  memory.value = sums + p.n;
  memory.chained = memory.value + int64_t(kMaxRows) * p.n;
  memory.rounded = reinterpret_cast<typename Product::Element*>(memory.chained +
                                                                int64_t(kMaxRows) * p.chain_n);
  for (int item = first; item < last; ++item) {
    const int begin = item * p.block;
    const int end = p.count - begin < p.block ? p.count : begin + p.block;
    for (int c = 0; c < p.n; ++c) sums[c] = 0;
    const auto groups = [&](auto rows) {
      constexpr int R = decltype(rows)::value;
      static_assert(R <= kMaxRows);
      for (int i = begin; i < end; i += R) {
        prefetch_sources<typename Product::Features::Element>(p, i + R, i + 2 * R);
        prefetch_added<typename Out::Element>(p, i + R, i + 2 * R);
        rows_group<Product, Out, R>(p, i, end - i < R ? end - i : R, depth, memory,
                                    p.store.sums ? sums : nullptr);
      }
    };
    with_rows(p.n / kLine, groups);
    if (p.store.sums)
      for (int c = 0; c < p.n; ++c) p.store.sums[int64_t(item) * p.n + c] = sums[c];
  }
  if (p.store.streams || p.chain_streams) streamed();
}
