// AVX-512 with BF16: dot products of bfloat16 pairs.
#include "kernels.h"
#include "parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC target("avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2,prefer-vector-width=512")
#define SMSR_INLINE static inline __attribute__((always_inline))
#define SMSR_LANES 16
#define SMSR_ROWS 6
#define SMSR_PANELS 4

namespace smsr {
namespace avx512_bf16 {

#include "vector.inl"
#include "half.inl"
#include "half_dot.inl"

}  // namespace avx512_bf16
}  // namespace smsr
#endif
