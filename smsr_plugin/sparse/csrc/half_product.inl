// Features and products in bfloat16, summed in float32: what AVX-512 BF16 and NEON with BF16 multiply, pairs
// of channels at a time. A vector has the channels of half a line.

struct HalfFeatures {
  using Element = Half;
  using Pooled = HalfFeatures;
  static constexpr int kGroups = 2;  // a line, or 1: the first half of it
  static constexpr int kStep = kHalfLine;

  // Of a line, two groups: the even channels, then the odd ones, which costs no shuffle. One group is
  // in order.
  template <int Groups>
  SMSR_INLINE void read(const Half* at, Vec (&v)[Groups]) {
    if constexpr (Groups == 2) {
      const Line line = load_line(at);
      v[0] = even_channels(line);
      v[1] = odd_channels(line);
    } else {
      v[0] = in_order(at);
    }
  }

  SMSR_INLINE Vec in_order(const Half* at) { return load_half_line(at); }

  // Stores a whole line, which is zero beyond one group.
  template <int Groups>
  SMSR_INLINE void put_line(Half* at, const Vec (&v)[Groups], bool streams) {
    if constexpr (Groups == 2)
      store_line(at, rounded(v[0], v[1]), streams);
    else
      store_line(at, rounded(v[0]), streams);
  }
};

struct HalfProduct {
  using Features = HalfFeatures;
  using Element = Half;

  SMSR_INLINE int whole(int k) { return (k + 1) / 2 * 2; }

  template <int Groups>
  SMSR_INLINE void keep(Half* at, const Vec (&v)[Groups]) {
    if constexpr (Groups == 2)
      store_line(at, rounded(v[0], v[1]), false);
    else
      store_half_line(at, v[0]);
  }

  // acc[m] += the pair `x(m)` of each row by the pairs of weights at `w`.
  template <int Rows, int Panels, class Pair>
  SMSR_INLINE void multiply_pair(Vec (&acc)[Rows][Panels], const Half* w, int64_t panel, Pair x) {
    Pairs b[Panels];
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p) b[p] = load_pairs(w + p * panel);
#pragma GCC unroll 16
    for (int m = 0; m < Rows; ++m) {
      const auto both = everywhere(x(m));
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) acc[m][p] = dot(acc[m][p], both, b[p]);
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
