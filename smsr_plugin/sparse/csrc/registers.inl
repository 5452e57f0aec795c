// A vector of several registers, for processors whose registers are shorter than half a line of bfloat16.
// SMSR_LANES floats in SMSR_REGISTERS of them, with the operators that the compiler's own vectors have.

constexpr int kRegisters = SMSR_REGISTERS, kLanes = SMSR_LANES / kRegisters;

typedef float Register __attribute__((vector_size(kLanes * 4)));
// As VecInMemory in vector.inl.
typedef float RegisterInMemory __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

struct Vec {
  Register r[kRegisters];
};

template <class F, class... Vecs>
SMSR_INLINE Vec each(F f, Vecs... v) {
  Vec result;
#pragma GCC unroll 4
  for (int i = 0; i < kRegisters; ++i) result.r[i] = f(v.r[i]...);
  return result;
}

#define SMSR_OPERATOR(op)                                               \
  SMSR_INLINE Vec operator op(Vec a, Vec b) {                           \
    return each([](Register x, Register y) { return x op y; }, a, b);   \
  }                                                                     \
  SMSR_INLINE Vec operator op(float a, Vec b) {                         \
    return each([a](Register y) { return a op y; }, b);                 \
  }                                                                     \
  SMSR_INLINE Vec operator op(Vec a, float b) {                         \
    return each([b](Register x) { return x op b; }, a);                 \
  }
SMSR_OPERATOR(+)
SMSR_OPERATOR(-)
SMSR_OPERATOR(*)
SMSR_OPERATOR(/)
#undef SMSR_OPERATOR

SMSR_INLINE void operator+=(Vec& a, Vec b) { a = a + b; }

SMSR_INLINE Vec load(const float* p) {
  SMSR_WATCH_READ(p, sizeof(Vec));
  Vec v;
#pragma GCC unroll 4
  for (int i = 0; i < kRegisters; ++i)
    v.r[i] = *reinterpret_cast<const RegisterInMemory*>(p + i * kLanes);
  return v;
}

SMSR_INLINE void store(float* p, Vec v) {
  SMSR_WATCH_WRITE(p, sizeof(Vec));
#pragma GCC unroll 4
  for (int i = 0; i < kRegisters; ++i) *reinterpret_cast<RegisterInMemory*>(p + i * kLanes) = v.r[i];
}
