// What the bfloat16 kernels share: the pixels of a work item, and what becomes of their rows.

struct HalfItem {
  int64_t pixel[kHalfBlock];  // the last one again where fewer are left
  uint16_t neighbours[kHalfBlock];
  int count;
  bool in_place[2];           // 16 pixels follow one another and see all of their neighbours
};

SMSR_INLINE HalfItem half_item(const HalfRows& p, int item) {
  HalfItem it;
  const int begin = item * kHalfBlock;
  it.count = p.count - begin < kHalfBlock ? p.count - begin : kHalfBlock;
  for (int i = 0; i < kHalfBlock; ++i) {
    const int at = begin + (i < it.count ? i : it.count - 1);
    it.pixel[i] = p.pixels[at];
    it.neighbours[i] = p.neighbours ? p.neighbours[at] : 0xffff;
  }
  unsigned all = 0;
  for (int s = 0; s < p.num_sources; ++s)
    if (p.sources[s].bit >= 0) all |= 1u << p.sources[s].bit;
  for (int m = 0; m < 2; ++m) {
    const int first = m * (kHalfBlock / 2);
    bool whole = true;
    for (int i = first; i < first + kHalfBlock / 2; ++i)
      whole &= it.pixel[i] == it.pixel[first] + (i - first) && (it.neighbours[i] & all) == all;
    it.in_place[m] = whole;
  }
  return it;
}

// Asks for the rows that the next item of a 1x1 product reads, one of each source: lists of pixels
// are no pattern that the processor could foresee.
SMSR_INLINE void prefetch_item(const HalfRows& p, int item) {
  const int begin = item * kHalfBlock;
  const int end = p.count - begin < kHalfBlock ? p.count : begin + kHalfBlock;
  for (int i = begin; i < end; ++i) {
    const int64_t pixel = p.pixels[i];
    for (int s = 0; s < p.num_sources; ++s) {
      const HalfSource& source = p.sources[s];
      for (int line = 0; line < source.lines; ++line)
        __builtin_prefetch(source.base + pixel * source.stride + line * kHalfLine);
    }
    for (int line = 0; line < p.lines; ++line)
      __builtin_prefetch(p.residual + pixel * p.stride + line * kHalfLine);
  }
}

SMSR_INLINE __m256i narrowed(Vec v) { return __m256i(_mm512_cvtneps_pbh(__m512(v))); }

SMSR_INLINE Vec widened(const uint16_t* at) {
  SMSR_WATCH_READ(at, kLine * 2);
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  return Vec(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)));
}

SMSR_INLINE void store_half(uint16_t* at, __m256i half) {
  SMSR_WATCH_WRITE(at, kLine * 2);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), half);
}

// Bias, residual and ReLU on value[32][n]; the rows go to their plane or, to be pooled, back.
template <HalfOut Kind, bool Residual>
SMSR_INLINE void finish_rows(const HalfRows& p, const HalfItem& it, float* value, double* sums) {
  const Vec floor = p.relu ? Vec{} : Vec{} - __builtin_inff();
  for (int c = 0; c < p.n; c += kLine) {
    const Vec bias = p.bias ? load(p.bias + c) : Vec{};
    Vec sum = {};
    for (int r = 0; r < it.count; ++r) {
      float* const from = value + int64_t(r) * p.n + c;
      const int64_t at = it.pixel[r] * p.stride + c;
      Vec v = load(from) + bias;
      if constexpr (Residual) v += widened(p.residual + at);
      v = v < floor ? floor : v;
      sum += v;
      if constexpr (Kind == HalfOut::kPooled) store(from, v);
      if constexpr (Kind == HalfOut::kFloat) store(static_cast<float*>(p.out) + at, v);
      if constexpr (Kind == HalfOut::kHalf) store_half(static_cast<uint16_t*>(p.out) + at, narrowed(v));
    }
    if (sums)
      for (int i = 0; i < kLine; ++i) sums[c + i] = double(sum[i]);
  }
  if constexpr (Kind == HalfOut::kHalf)
    for (int c = p.n; c < p.lines * kHalfLine; c += kLine)
      for (int r = 0; r < it.count; ++r)
        store_half(static_cast<uint16_t*>(p.out) + it.pixel[r] * p.stride + c, __m256i{});
}

// One half of the item is the upper row of a patch, the other the lower one.
SMSR_INLINE void pool_rows(const HalfRows& p, const HalfItem& it, const float* value) {
  const Geometry& g = p.geometry;
  const Geometry half{g.height / 2, g.width / 2};
  const int64_t upper = it.pixel[0] - g.index(0, 0);
  const int y = int(upper / g.stride()), x = int(upper % g.stride());
  for (int i = 0; i < kHalfBlock / 4 && x + 2 * i < g.width; ++i)
    for (int c = 0; c < p.n; c += kLine) {
      const float* const a = value + int64_t(2 * i) * p.n + c;
      const float* const b = a + int64_t(kHalfBlock / 2) * p.n;
      store(static_cast<float*>(p.out) + half.index(y / 2, x / 2 + i) * p.stride + c,
            0.25f * (load(a) + load(a + p.n) + load(b) + load(b + p.n)));
    }
}

SMSR_INLINE void finish_item(const HalfRows& p, const HalfItem& it, float* value, double* sums) {
  if (p.kind == HalfOut::kPooled) {
    finish_rows<HalfOut::kPooled, false>(p, it, value, sums);
    pool_rows(p, it, value);
  } else if (p.kind == HalfOut::kFloat) {
    finish_rows<HalfOut::kFloat, false>(p, it, value, sums);
  } else if (p.residual) {
    finish_rows<HalfOut::kHalf, true>(p, it, value, sums);
  } else {
    finish_rows<HalfOut::kHalf, false>(p, it, value, sums);
  }
}
