// The 3x3 convolution that sees the image. A work item is a row of it: three rows of each channel, with
// zeros around the image, are laid side by side, and each value is multiplied as it is needed.

// Rows y - 1, y, y + 1 of the channels and, if it is there, of the channel of ones.
SMSR_INLINE void image_rows(const ImageConv& p, int y, int64_t stride, float* rows) {
  const int width = p.geometry.width;
  for (int dy = 0; dy < 3; ++dy) {
    const int at = y + dy - 1;
    const bool inside = at >= 0 && at < p.geometry.height;
    for (int c = 0; c < p.channels; ++c, rows += stride) {
      const float* const from = p.lq + (int64_t(c) * p.geometry.height + (inside ? at : 0)) * width;
      for (int x = 0; x < width; ++x) rows[1 + x] = inside ? from[x] : 0;
    }
    if (!p.has_ones) continue;
    for (int x = 0; x < width; ++x) rows[1 + x] = inside;
    rows += stride;
  }
}

// `Panels` panels of the outputs of `Rows` pixels from x on, of which the first `count` are stored.
template <class Out, int Rows, int Panels>
SMSR_INLINE void image_group(const ImageConv& p, const float* rows, int64_t stride, int y, int x,
                             int count, int panel) {
  using Element = typename Out::Element;
  const int channels = p.channels + p.has_ones;
  const int64_t depth = int64_t(9) * channels * kLine;
  const float* w = p.weights + panel * depth;
  Vec acc[Rows][Panels * kVecs] = {};
  for (int dy = 0; dy < 3; ++dy)
    for (int dx = 0; dx < 3; ++dx)
      for (int c = 0; c < channels; ++c, w += kLine) {
        const float* const a = rows + (dy * channels + c) * stride + x + dx;
        Vec b[Panels * kVecs];
#pragma GCC unroll 16
        for (int i = 0; i < Panels * kVecs; ++i)
          b[i] = load(w + i / kVecs * depth + i % kVecs * SMSR_LANES);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 16
          for (int i = 0; i < Panels * kVecs; ++i) acc[r][i] += a[r] * b[i];
      }
  const Store& s = p.store;
  auto* const out = static_cast<Element*>(s.out) + p.geometry.index(y, x) * kLineOf<Element>;
  with_slopes(s, [&](auto leaky) {
#pragma GCC unroll 16
    for (int i = 0; i < Panels * kVecs; ++i) {
      const int at = panel * kLine + i * SMSR_LANES;
      const Vec bias = s.bias ? load(s.bias + at) : Vec{}, slope = slopes_of(s, at);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r)
        acc[r][i] = activated<decltype(leaky)::value>(s, acc[r][i] + bias, slope);
    }
  });
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    if (r < count)
      put_vectors<Out>(out + r * kLineOf<Element>, s.line, panel * kLine, acc[r], s.streams);
}

template <class Out>
void image_conv(const ImageConv& p, int first, int last, float* rows) {
  const int width = p.geometry.width;
  const int64_t stride = image_stride(width);
  for (int64_t i = 0; i < image_room(p); ++i) rows[i] = 0;
  for (int y = first; y < last; ++y) {
    image_rows(p, y, stride, rows);
    with_rows(p.n / kLine, [&](auto group) {
      constexpr int R = decltype(group)::value;
      for (int x = 0; x < width; x += R)
        for_panels<R>(p.n / kLine, [&](int panel, auto panels) {
          image_group<Out, R, decltype(panels)::value>(p, rows, stride, y, x, width - x, panel);
        });
    });
  }
  if (p.store.streams) streamed();
}
