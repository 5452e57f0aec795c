// One product over rows at active pixels, another one at inactive ones. A work item is a row of the image.

// The outputs of a group of pixels. Where fewer are left, the last one is computed and stored again.
template <class Product, int Rows, int Panels>
SMSR_INLINE void blend_group(const Blend& p, const BlendSide& side, int64_t row,
                             const int32_t (&at)[Rows], int panel) {
  using Features = typename Product::Features;
  using Element = typename Product::Element;
  constexpr int line_length = kLineOf<Element>;
  Vec acc[Rows][Panels * kVecs];
#pragma GCC unroll 16
  for (int v = 0; v < Panels * kVecs; ++v) {
    const Vec bias = load(side.bias + panel * kLine + v * SMSR_LANES);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) acc[r][v] = bias;
  }
  const int64_t depth = int64_t(side.depth) * kLine;
  const auto* w = static_cast<const Element*>(side.weights) + panel * depth;
  for (int s = 0; s < side.num_sources; ++s) {
    const Source& source = side.sources[s];
    const Element* a[Rows];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
      a[r] = static_cast<const Element*>(source.base) + (row + at[r]) * line_length;
    int64_t line = 0;
    for (int left = source.k; left > 0; left -= line_length, line += source.line) {
      const int k = left < line_length ? left : line_length;
      Product::template multiply<Rows, Panels>(acc, a, w, depth, k, line);
      w += int64_t(Product::whole(k)) * kLine;
    }
  }
  auto* const out = static_cast<Element*>(p.out) + row * line_length;
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    put_vectors<Features>(out + int64_t(at[r]) * line_length, p.out_line, panel * kLine, acc[r],
                          p.streams);
}

// Asks for the rows of a group of pixels.
template <class Element, int Rows>
SMSR_INLINE void prefetch_group(const BlendSide& side, int64_t row, const int32_t* at) {
  for (int s = 0; s < side.num_sources; ++s) {
    const Source& source = side.sources[s];
    const auto* line = static_cast<const Element*>(source.base) + row * kLineOf<Element>;
    for (int k = 0; k < source.k; k += kLineOf<Element>, line += source.line)
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) __builtin_prefetch(line + int64_t(at[r]) * kLineOf<Element>);
  }
}

// The listed pixels of a row.
template <class Product>
SMSR_INLINE void blend_row(const Blend& p, const BlendSide& side, int64_t row, const int32_t* list,
                           int count) {
  const auto groups = [&](auto rows) {
    constexpr int R = decltype(rows)::value;
    for (int i = 0; i < count; i += R) {
      int32_t at[R];
      for (int r = 0; r < R; ++r) at[r] = list[i + r < count ? i + r : count - 1];
      if (i + 3 * R <= count)
        prefetch_group<typename Product::Element, R>(side, row, list + i + 2 * R);
      for_panels<R>(p.n / kLine, [&](int panel, auto panels) {
        blend_group<Product, R, decltype(panels)::value>(p, side, row, at, panel);
      });
    }
  };
  with_rows(p.n / kLine, groups);
}

// Calls f(side, index of column 0, columns, how many) for both sides of each row.
template <class F>
SMSR_INLINE void for_sides(const Blend& p, int first, int last, float* scratch, F f) {
  const int width = p.geometry.width;
  auto* const active = reinterpret_cast<int32_t*>(scratch);
  int32_t* const inactive = active + width + 1;  // one more is written, and then not counted
  for (int y = first; y < last; ++y) {
    const int64_t row = p.geometry.index(y, 0);
    const uint8_t* const activity = p.activity + row;
    int actives = 0, inactives = 0;
    for (int x = p.left; x < p.right; ++x) {
      active[actives] = inactive[inactives] = x;
      actives += activity[x] == kActive;
      inactives += activity[x] != kActive;
    }
    f(p.active, row, active, actives);
    f(p.inactive, row, inactive, inactives);
  }
  if (p.streams) streamed();
}

template <class Product>
void blend(const Blend& p, int first, int last, float* scratch) {
  for_sides(p, first, last, scratch, [&](const BlendSide& side, int64_t row, const int32_t* list, int count) {
    blend_row<Product>(p, side, row, list, count);
  });
}
