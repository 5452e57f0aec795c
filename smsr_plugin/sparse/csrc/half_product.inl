// Products in bfloat16, sums in float32: what AVX-512 BF16 multiplies, pairs of channels at a time.

struct HalfProduct {
  using Element = uint16_t;
  static constexpr bool kGathers = true;  // rows are rounded first

  SMSR_INLINE int whole(int k) { return (k + 1) / 2 * 2; }

  SMSR_INLINE void keep(uint16_t* at, Vec v) {
    SMSR_WATCH_WRITE(at, kLine * 2);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), __m256i(_mm512_cvtneps_pbh(__m512(v))));
  }

  // Rounds the first `count` channels of a line, and makes the others zero.
  SMSR_INLINE void keep_first(uint16_t* at, const float* line, int count) {
    if (count >= kLine) return keep(at, load(line));
    const __mmask16 first = __mmask16((1u << count) - 1);
    SMSR_WATCH_READ(line, count * 4);
    keep(at, Vec(_mm512_maskz_loadu_ps(first, line)));
  }

  // As FloatProduct's; `k` is even, and pairs of channels lie together in `w`.
  template <int Rows, int Panels>
  SMSR_INLINE void multiply(Vec (&acc)[Rows][Panels], const uint16_t* const (&a)[Rows],
                            const uint16_t* w, int64_t panel, int k) {
    for (int i = 0; i < k; i += 2) {
      __m512bh b[Panels];
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) {
        SMSR_WATCH_READ(w + p * panel + int64_t(i) * kLine, kLine * 4);
        b[p] = __m512bh(_mm512_loadu_si512(w + p * panel + int64_t(i) * kLine));
      }
#pragma GCC unroll 16
      for (int m = 0; m < Rows; ++m) {
        int both;
        __builtin_memcpy(&both, a[m] + i, sizeof both);
        const __m512bh x = __m512bh(_mm512_set1_epi32(both));
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p)
          acc[m][p] = Vec(_mm512_dpbf16_ps(__m512(acc[m][p]), x, b[p]));
      }
    }
  }
};
