// HalfRows on AVX-512 BF16: dot products of pairs of channels, broadcast from the pixels' rows.

constexpr int kDotRows = 8;

// acc += rows from `a` by the weights of one line at `w`, `panel` elements between panels.
template <int Panels>
SMSR_INLINE void multiply_line(__m512 (&acc)[kDotRows][Panels], const uint16_t* a,
                               const uint16_t* w, int64_t panel) {
  for (int pair = 0; pair < kHalfLine / 2; ++pair) {
    __m512bh b[Panels];
#pragma GCC unroll 4
    for (int i = 0; i < Panels; ++i)
      b[i] = __m512bh(_mm512_loadu_si512(w + i * panel + pair * 2 * kLine));
#pragma GCC unroll 8
    for (int r = 0; r < kDotRows; ++r) {
      int both;
      __builtin_memcpy(&both, a + r * kHalfLine + 2 * pair, sizeof both);
      const __m512bh x = __m512bh(_mm512_set1_epi32(both));
#pragma GCC unroll 4
      for (int i = 0; i < Panels; ++i) acc[r][i] = _mm512_dpbf16_ps(acc[r][i], x, b[i]);
    }
  }
}

template <int Outputs>
SMSR_INLINE void multiply_item(const HalfRows& p, const HalfItem& it, const uint16_t* weights,
                               int64_t panel, float* value) {
  for (int first = 0; first < kItemPixels; first += kDotRows) {
    __m512 acc[kDotRows][Outputs] = {};
    const uint16_t* w = weights;
    for (int s = 0; s < p.num_sources; ++s) {
      const HalfSource& source = p.sources[s];
      const int64_t pixel = it.pixel[first / kRun] + first % kRun + source.offset;
      const uint16_t* a = source.base + pixel * kHalfLine;
      for (int i = 0; i < source.lines; ++i, a += source.line, w += kHalfLine * kLine)
        multiply_line<Outputs>(acc, a, w, panel);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kDotRows; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < Outputs; ++i)
        store(value + (first + r) * kHalfLine + i * kLine, Vec(acc[r][i]));
  }
}

void half_rows(const HalfRows& p, int first, int last, float* scratch) {
  int64_t lines = 0;
  for (int s = 0; s < p.num_sources; ++s) lines += p.sources[s].lines;
  const int64_t panel = lines * kHalfLine * kLine;
  half_items(p, first, last, panel, scratch,
             [&](auto outputs, const HalfItem& it, const uint16_t* w) {
               multiply_item<decltype(outputs)::value>(p, it, w, panel, scratch);
             });
}
