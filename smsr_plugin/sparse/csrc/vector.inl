// The vector type of one instruction set. SMSR_LANES floats; included inside its namespace.

#if defined(SMSR_REGISTERS)
#include "registers.inl"
#else
typedef float Vec __attribute__((vector_size(SMSR_LANES * 4)));
// A vector among floats in memory. No variable has this type: Clang, which forgets in templates and
// references that it is not aligned, would store it as if it were.
typedef float VecInMemory __attribute__((vector_size(SMSR_LANES * 4), aligned(4), may_alias));
using Register = Vec;

// f of the registers of vectors, one of each. A lambda is told to capture, though it need not: another is also
// a pointer to a function, which GCC compiles for no instruction set.
template <class F, class... Vecs>
SMSR_INLINE Vec each(F f, Vecs... v) {
  return f(v...);
}

SMSR_INLINE Vec load(const float* p) {
  SMSR_WATCH_READ(p, sizeof(Vec));
  return *reinterpret_cast<const VecInMemory*>(p);
}

SMSR_INLINE void store(float* p, Vec v) {
  SMSR_WATCH_WRITE(p, sizeof(Vec));
  *reinterpret_cast<VecInMemory*>(p) = v;
}
#endif

constexpr int kVecs = kLine / SMSR_LANES;  // vectors of a line
constexpr int kRows = SMSR_ROWS;           // rows and panels of accumulators that fill the registers
constexpr int kWidePanels = SMSR_PANELS;

// Stores, past the cache if that is wanted and a vector fills a cache line.
SMSR_INLINE void put(float* p, Vec v, bool streams) {
#if SMSR_LANES == 16 && !defined(SMSR_REGISTERS)
  if (streams) {
    SMSR_WATCH_WRITE(p, sizeof(Vec));
    __asm__ volatile("vmovntps %1, %0" : "=m"(*reinterpret_cast<VecInMemory*>(p)) : "v"(v));
    return;
  }
#endif
  (void)streams;
  store(p, v);
}

// Until then what was streamed may not be seen by other threads.
SMSR_INLINE void streamed() {
#if SMSR_LANES == 16 && !defined(SMSR_REGISTERS)
  __asm__ volatile("sfence" ::: "memory");
#endif
}

SMSR_INLINE Vec relu(Vec v) {  // NaN stays
  return each([&](Register x) { return x < 0 ? Register{} : x; }, v);
}

template <bool B>
struct Bool {
  static constexpr bool value = B;
};

// Of a vector of outputs that begins with output c.
SMSR_INLINE Vec slopes_of(const Store& s, int c) {
  return s.slopes ? load(s.slopes + c) : Vec{} + s.slope;
}

SMSR_INLINE bool is_leaky(const Store& s) { return s.slopes || s.slope != 0; }

// `Leaky`: whether a ReLU is, which is asked once for many.
template <bool Leaky>
SMSR_INLINE Vec activated(const Store& s, Vec v, Vec slope) {
  if (!s.relu) return v;
  if constexpr (Leaky)
    return each([&](Register x, Register by) { return x < 0 ? by * x : x; }, v, slope);
  else
    return relu(v);
}

// act(v + residual) or act(v) + residual, of channels of a pixel whose residual lies at `residual`.
template <class Features, bool Leaky>
SMSR_INLINE Vec finished(const Store& s, Vec v, Vec slope,
                         const typename Features::Element* residual) {
  if (!residual) return activated<Leaky>(s, v, slope);
  const Vec added = Features::in_order(residual);
  return s.residual_last ? activated<Leaky>(s, v, slope) + added
                         : activated<Leaky>(s, v + added, slope);
}

// Calls f(Bool<whether s is leaky>).
template <class F>
SMSR_INLINE void with_slopes(const Store& s, F f) {
  if (is_leaky(s))
    f(Bool<true>{});
  else
    f(Bool<false>{});
}

// Sums of products as they lie in memory, in floats: their unit is one.
struct FloatSums {
  SMSR_INLINE Vec unit(const Store&, int) { return Vec{}; }
  SMSR_INLINE Vec read(const float* at, Vec) { return load(at); }
};

// Features in float32: a vector at a time.
struct FloatFeatures {
  using Element = float;
  using Pooled = FloatFeatures;
  static constexpr int kGroups = 1;           // vectors that are read and stored at once
  static constexpr int kStep = SMSR_LANES;    // channels of them

  // Reads channels to be multiplied.
  template <int Groups>
  SMSR_INLINE void read(const float* at, Vec (&v)[Groups]) {
    v[0] = load(at);
  }

  // Reads a vector of channels in their order.
  SMSR_INLINE Vec in_order(const float* at) { return load(at); }

  // Stores them, past the cache if that is wanted.
  template <int Groups>
  SMSR_INLINE void put_line(float* at, const Vec (&v)[Groups], bool streams) {
    put(at, v[0], streams);
  }
};

// Products in float32.
struct FloatProduct {
  using Features = FloatFeatures;
  using Element = float;

  SMSR_INLINE int whole(int k) { return k; }

  template <int Groups>
  SMSR_INLINE void keep(float* at, const Vec (&v)[Groups]) {
    store(at, v[0]);
  }

  // acc[m][v] += sum over k of a[m][first + k] * w[panel v][k]: `Rows` rows by `Panels` panels of a
  // line, `panel` elements from one to the next.
  template <int Rows, int Panels>
  SMSR_INLINE void multiply(Vec (&acc)[Rows][Panels * kVecs], const float* const (&a)[Rows],
                            const float* w, int64_t panel, int k, int64_t first = 0) {
    for (int i = 0; i < k; ++i) {
      Vec b[Panels * kVecs];
#pragma GCC unroll 16
      for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 16
        for (int v = 0; v < kVecs; ++v)
          b[p * kVecs + v] = load(w + p * panel + int64_t(i) * kLine + v * SMSR_LANES);
#pragma GCC unroll 16
      for (int m = 0; m < Rows; ++m)
#pragma GCC unroll 16
        for (int v = 0; v < Panels * kVecs; ++v) acc[m][v] += a[m][first + i] * b[v];
    }
  }
};

template <int N>
struct Int {
  static constexpr int value = N;
};

// Calls f(Int<groups>) with the groups of a line that are left of so many channels.
template <class Features, class F>
SMSR_INLINE void with_groups(int left, F f) {
  constexpr int kWhole = Features::kGroups;
  if constexpr (kWhole > 1) {
    if (left == kLine) return f(Int<1>{});
  }
  if constexpr (kWhole > 2) {
    if (left == 2 * kLine) return f(Int<2>{});
    if (left == 3 * kLine) return f(Int<3>{});
  }
  f(Int<kWhole>{});
}

// Calls f(first panel, Int<number of panels>) until `panels` are done, as many at once as `Rows`
// rows leave registers for.
template <int Rows, class F>
SMSR_INLINE void for_panels(int panels, F f) {
  constexpr int widest = Rows == kRows ? kWidePanels : kWidePanels / 2;
  for (int i = 0; i < panels;) {
    const int left = panels - i;
    if constexpr (widest >= 4) {
      if (left >= 4) {
        f(i, Int<4>{});
        i += 4;
        continue;
      }
      if (left == 3) {
        f(i, Int<3>{});
        i += 3;
        continue;
      }
    }
    if constexpr (widest >= 2) {
      if (left >= 2) {
        f(i, Int<2>{});
        i += 2;
        continue;
      }
    }
    f(i, Int<1>{});
    ++i;
  }
}

// Calls f(Int<rows>) with the number of rows that suits `panels`.
template <class F>
SMSR_INLINE void with_rows(int panels, F f) {
  if constexpr (kWidePanels >= 2) {
    if (panels <= kWidePanels / 2) return f(Int<2 * kRows>{});
  }
  f(Int<kRows>{});
}
