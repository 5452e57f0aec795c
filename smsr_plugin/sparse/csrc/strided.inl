// A convolution of stride 2, stored in float32. A work item is a row of the output.

template <class Product, bool All, int Rows, int Panels>
SMSR_INLINE void strided_group(const Strided& p, int y, int x, int count, int panel) {
  using Element = typename Product::Element;
  constexpr int line_length = kLineOf<Element>, step = int(sizeof(float) / sizeof(Element));
  const Geometry& g = p.in_geometry;
  const auto* const corner = static_cast<const Element*>(p.in) +
                             g.index(2 * y - p.padding, 2 * x - p.padding) * line_length;
  if (y + 1 < p.out_geometry.height)  // the two rows that the next row of the output sees first
    for (int64_t at = 3; at < 5; ++at)
      for (int dx = 0; dx < 2 * count; ++dx)
        __builtin_prefetch(corner + (at * g.stride() + dx) * line_length);
  const int64_t depth = int64_t(9) * p.k * kLine;
  const Element* w = static_cast<const Element*>(p.weights) + panel * depth;
  Vec acc[Rows][Panels * kVecs] = {};
  for (int dy = 0; dy < 3; ++dy)
    for (int dx = 0; dx < 3; ++dx) {
      int64_t at = (dy * g.stride() + dx) * line_length;
      for (int left = p.k; left > 0; left -= line_length, at += p.in_line) {
        const int k = left < line_length ? left : line_length;
        // What is multiplied at once, of rows at fixed distances: so many pointers fit no registers.
        for (int i = 0; i < k; i += step, w += step * kLine) {
          const Element* a[Rows];
#pragma GCC unroll 16
          for (int r = 0; r < Rows; ++r)  // of the last pixel again where fewer are left
            a[r] = corner + at + i + 2 * (All || r < count ? r : count - 1) * line_length;
          Product::template multiply<Rows, Panels>(acc, a, w, depth, step);
        }
      }
    }
#pragma GCC unroll 16
  for (int i = 0; i < Panels * kVecs; ++i) {
    const int c = panel * kLine + i * SMSR_LANES;
    const Vec bias = p.bias ? load(p.bias + c) : Vec{};
    float* const out = p.out + p.out_geometry.index(y, x) * kLine + channel_at(c, p.out_line);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
      if (All || r < count) store(out + r * kLine, p.relu ? relu(acc[r][i] + bias) : acc[r][i] + bias);
  }
}

template <class Product>
void strided(const Strided& p, int first, int last, float*) {
  const int width = p.out_geometry.width;
  for (int y = first; y < last; ++y)
    with_rows(p.n / kLine, [&](auto rows) {
      constexpr int R = decltype(rows)::value;
      for (int x = 0; x < width; x += R)
        for_panels<R>(p.n / kLine, [&](int panel, auto panels) {
          constexpr int P = decltype(panels)::value;
          if (x + R <= width)
            strided_group<Product, true, R, P>(p, y, x, R, panel);
          else
            strided_group<Product, false, R, P>(p, y, x, width - x, panel);
        });
    });
}
