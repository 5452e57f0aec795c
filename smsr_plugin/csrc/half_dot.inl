// HalfRows on AVX-512 BF16: dot products of pairs of channels, broadcast from the pixels' rows.

constexpr int kDotRows = 8;

// acc += rows at `a` by the weights of one line at `w`, `panel` elements between panels.
template <int Panels>
SMSR_INLINE void multiply_line(__m512 (&acc)[kDotRows][Panels], const uint16_t* const (&a)[kDotRows],
                               const uint16_t* w, int64_t panel) {
  for (int pair = 0; pair < kHalfLine / 2; ++pair) {
    __m512bh b[Panels];
#pragma GCC unroll 4
    for (int i = 0; i < Panels; ++i)
      b[i] = __m512bh(_mm512_loadu_si512(w + i * panel + pair * 2 * kLine));
#pragma GCC unroll 8
    for (int r = 0; r < kDotRows; ++r) {
      int both;
      __builtin_memcpy(&both, a[r] + 2 * pair, sizeof both);
      const __m512bh x = __m512bh(_mm512_set1_epi32(both));
#pragma GCC unroll 4
      for (int i = 0; i < Panels; ++i) acc[r][i] = _mm512_dpbf16_ps(acc[r][i], x, b[i]);
    }
  }
}

template <int Panels>
SMSR_INLINE void multiply_panels(const HalfRows& p, const HalfItem& it, int total_lines, int n,
                                 float* value) {
  const int64_t panel = int64_t(total_lines) * kHalfLine * kLine;
  const uint16_t* const zeros = reinterpret_cast<const uint16_t*>(kZeros);
  for (int first = 0; first < kHalfBlock; first += kDotRows) {
    __m512 acc[kDotRows][Panels] = {};
    const uint16_t* w = p.weights + n / kLine * panel;
    for (int i = 0; i < p.num_sources; ++i) {
      const HalfSource& s = p.sources[i];
      for (int line = 0; line < s.lines; ++line) {
        const uint16_t* a[kDotRows];
#pragma GCC unroll 8
        for (int r = 0; r < kDotRows; ++r) {
          const bool seen = s.bit < 0 || line < s.dense_lines ||
                            (it.neighbours[first + r] >> s.bit & 1);
          a[r] = seen ? s.base + (it.pixel[first + r] + s.offset) * s.stride + line * kHalfLine
                      : zeros;
        }
        multiply_line<Panels>(acc, a, w, panel);
        w += kHalfLine * kLine;
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kDotRows; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < Panels; ++i)
        store(value + int64_t(first + r) * p.n + n + i * kLine, Vec(acc[r][i]));
  }
}

void half_rows(const HalfRows& p, int first, int last, float* scratch) {
  int lines = 0;
  for (int s = 0; s < p.num_sources; ++s) lines += p.sources[s].lines;
  float* const value = scratch;
  for (int item = first; item < last; ++item) {
    const HalfItem it = half_item(p, item);
    int n = 0;
    for (; n + 2 * kLine <= p.n; n += 2 * kLine) multiply_panels<2>(p, it, lines, n, value);
    if (n < p.n) multiply_panels<1>(p, it, lines, n, value);
    finish_item(p, it, value, p.sums ? p.sums + int64_t(item) * p.n : nullptr);
  }
}
