// NEON with BF16 (64-bit Arm): dot products of bfloat16 pairs, and features in bfloat16. A vector is four
// registers: of 32 of them three rows by two panels of sums fill 24.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#if defined(SMSR_NEON_BF16)
#include <arm_neon.h>

SMSR_TARGET_BEGIN("arch=armv8.2-a+bf16")
#define SMSR_LANES 16
#define SMSR_REGISTERS 4
#define SMSR_ROWS 3
#define SMSR_PANELS 2

namespace smsr {
namespace neon_bf16 {

#include "vector.inl"
#include "neon_line.inl"
#include "half_product.inl"
#include "tile.inl"
#include "winograd.inl"
#include "rows.inl"
#include "strided.inl"
#include "put_vectors.inl"
#include "image.inl"
#include "attend.inl"
#include "blend.inl"

extern const HalfKernels half = {
    winograd<HalfProduct, HalfFeatures>,  winograd<HalfProduct, FloatFeatures>,
    winograd<WideProduct, FloatFeatures>, rows<HalfProduct, HalfFeatures>,
    rows<HalfProduct, FloatFeatures>,     image_conv<HalfFeatures>,
    strided<HalfProduct>,                 attend<HalfProduct, FloatGate>,   blend<HalfProduct>,
    false,
};

}  // namespace neon_bf16
}  // namespace smsr
SMSR_TARGET_END
#endif
