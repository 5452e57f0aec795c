// AMX: products of matrix tiles, of bfloat16 and of bytes.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#if defined(__x86_64__)
#include <immintrin.h>

SMSR_TARGET_BEGIN("amx-tile,amx-bf16,amx-int8,avx512bf16,prfchw,avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2")
#define SMSR_LANES 16
#define SMSR_ROWS 6
#define SMSR_PANELS 4

namespace smsr {
namespace amx {

#include "vector.inl"
#include "half_line.inl"
#include "half_product.inl"
#include "byte_line.inl"
#include "tile.inl"
#include "winograd.inl"
#include "rows.inl"
#include "matrix.inl"
#include "matrix_rows.inl"
#include "put_vectors.inl"
#include "image.inl"
#include "attend.inl"
#include "blend.inl"
#include "half_gate.inl"
#include "matrix_maps.inl"

extern const HalfKernels half = {
    direct<Half, HalfFeatures>,      direct<Half, FloatFeatures>,      winograd<WideProduct, FloatFeatures>,
    matrix_rows<Half, HalfFeatures>, matrix_rows<Half, FloatFeatures>, image_conv<HalfFeatures>,
    matrix_strided,                  matrix_attend<HalfGate>,          matrix_blend, true,
};

extern const ByteKernels bytes = {
    direct<Byte, ByteFeatures>,        direct<Half, ByteFeatures>,
    direct<Signed, ByteFeatures>,      direct<Signed, HalfFeatures>,
    matrix_rows<Byte, ByteFeatures>,   matrix_rows<Half, ByteFeatures>,
    matrix_rows<Signed, ByteFeatures>, matrix_rows<Byte, HalfFeatures>,
};

}  // namespace amx
}  // namespace smsr
SMSR_TARGET_END
#endif
