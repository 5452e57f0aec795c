// Features and products in bfloat16, summed in float32: what AVX-512 BF16 multiplies, pairs of channels
// at a time.

struct HalfFeatures {
  using Element = Half;
  static constexpr int kGroups = 2;  // a line, or 1: the first half of it
  static constexpr int kStep = kHalfLine;

  // Of a line, two groups: the even channels, then the odd ones, which costs no shuffle. One group is
  // in order.
  template <int Groups>
  SMSR_INLINE void read(const Half* at, Vec (&v)[Groups]) {
    if constexpr (Groups == 2) {
      const __m512i line = load_line(at);
      v[0] = Vec(_mm512_castsi512_ps(_mm512_slli_epi32(line, 16)));
      v[1] = Vec(_mm512_castsi512_ps(_mm512_and_si512(line, _mm512_set1_epi32(int(0xffff0000)))));
    } else {
      v[0] = in_order(at);
    }
  }

  SMSR_INLINE Vec in_order(const Half* at) {
    SMSR_WATCH_READ(at, kLine * 2);
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }

  // Stores a whole line, which is zero beyond one group.
  template <int Groups>
  SMSR_INLINE void put_line(Half* at, const Vec (&v)[Groups], bool streams) {
    if constexpr (Groups == 2)
      store_line(at, __m512i(_mm512_cvtne2ps_pbh(__m512(v[1]), __m512(v[0]))), streams);
    else
      store_line(at, _mm512_zextsi256_si512(__m256i(_mm512_cvtneps_pbh(__m512(v[0])))), streams);
  }
};

struct HalfProduct {
  using Features = HalfFeatures;
  using Element = Half;
  static constexpr bool kMatrix = false;

  SMSR_INLINE int whole(int k) { return (k + 1) / 2 * 2; }

  template <int Groups>
  SMSR_INLINE void keep(Half* at, const Vec (&v)[Groups]) {
    SMSR_WATCH_WRITE(at, Groups * kLine * 2);
    if constexpr (Groups == 2)
      _mm512_storeu_si512(at, __m512i(_mm512_cvtne2ps_pbh(__m512(v[1]), __m512(v[0]))));
    else
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                          __m256i(_mm512_cvtneps_pbh(__m512(v[0]))));
  }

  // acc[m] += the pair `x(m)` of each row by the pairs of weights at `w`.
  template <int Rows, int Panels, class Pair>
  SMSR_INLINE void multiply_pair(Vec (&acc)[Rows][Panels], const Half* w, int64_t panel, Pair x) {
    __m512bh b[Panels];
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p) {
      SMSR_WATCH_READ(w + p * panel, kLine * 4);
      b[p] = __m512bh(_mm512_loadu_si512(w + p * panel));
    }
#pragma GCC unroll 16
    for (int m = 0; m < Rows; ++m) {
      const __m512bh both = __m512bh(_mm512_set1_epi32(x(m)));
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p)
        acc[m][p] = Vec(_mm512_dpbf16_ps(__m512(acc[m][p]), both, b[p]));
    }
  }

  // As FloatProduct's; pairs of channels lie together in `w`, and an odd last one is alone there.
  template <int Rows, int Panels>
  SMSR_INLINE void multiply(Vec (&acc)[Rows][Panels], const Half* const (&a)[Rows], const Half* w,
                            int64_t panel, int k, int64_t first = 0) {
    int i = 0;
    for (; i + 1 < k; i += 2)
      multiply_pair(acc, w + int64_t(i) * kLine, panel, [&](int m) {
        int both;
        __builtin_memcpy(&both, a[m] + first + i, sizeof both);
        return both;
      });
    if (i < k)
      multiply_pair(acc, w + int64_t(i) * kLine, panel, [&](int m) { return int(a[m][first + i]); });
  }
};

// Features in bfloat16, products in float32.
struct WideProduct : FloatProduct {
  using Features = HalfFeatures;

  template <int Groups>
  SMSR_INLINE void keep(float* at, const Vec (&v)[Groups]) {
#pragma GCC unroll 2
    for (int g = 0; g < Groups; ++g) store(at + g * kLine, v[g]);
  }
};
