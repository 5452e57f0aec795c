// AVX-512 with BF16: dot products of bfloat16 pairs, and features in bfloat16.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#if defined(__x86_64__)
#include <immintrin.h>

SMSR_TARGET_BEGIN("avx512bf16,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2")
#define SMSR_LANES 16
#define SMSR_ROWS 6
#define SMSR_PANELS 4

namespace smsr {
namespace avx512_bf16 {

#include "vector.inl"
#include "half_line.inl"
#include "half_product.inl"
#include "tile.inl"
#include "winograd.inl"
#include "rows.inl"
#include "strided.inl"
#include "put_vectors.inl"
#include "image.inl"
#include "attend.inl"
#include "blend.inl"
#include "half_gate.inl"

extern const HalfKernels half = {
    winograd<HalfProduct, HalfFeatures>,  winograd<HalfProduct, FloatFeatures>,
    winograd<WideProduct, FloatFeatures>, rows<HalfProduct, HalfFeatures>,
    rows<HalfProduct, FloatFeatures>,     image_conv<HalfFeatures>,
    strided<HalfProduct>,                 attend<HalfProduct, HalfGate>,    blend<HalfProduct>,
    false,
};

}  // namespace avx512_bf16
}  // namespace smsr
SMSR_TARGET_END
#endif
