// AMX: bfloat16 products of matrix tiles.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#if defined(__x86_64__)
#include <immintrin.h>

SMSR_TARGET_BEGIN("amx-tile,amx-bf16,avx512bf16,prfchw,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2")
#define SMSR_LANES 16
#define SMSR_ROWS 6
#define SMSR_PANELS 4

namespace smsr {
namespace amx {

#include "vector.inl"
#include "half_line.inl"
#include "half.inl"
#include "half_amx.inl"

}  // namespace amx
}  // namespace smsr
SMSR_TARGET_END
#endif
