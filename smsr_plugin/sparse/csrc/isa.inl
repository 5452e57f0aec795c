// The float kernels of one instruction set. The including file names it: SMSR_ISA_NAME, SMSR_LANES (floats
// of a vector), SMSR_ROWS and SMSR_PANELS (accumulators that fill its registers), and begins the target
// after including every header, so that no code of a header is compiled for it.


namespace smsr {
namespace SMSR_ISA_NAME {

#include "vector.inl"
#include "tile.inl"
#include "winograd.inl"
#include "rows.inl"
#include "put_vectors.inl"
#include "image.inl"
#include "compose.inl"
#include "strided.inl"
#include "maximum.inl"
#include "attend.inl"
#include "blend.inl"
#include "details.inl"

extern const FloatKernels kernels = {
    winograd<FloatProduct, FloatFeatures>, rows<FloatProduct, FloatFeatures>,
    image_conv<FloatFeatures>, compose, strided<FloatProduct>, maximum, attend<FloatProduct, FloatGate>,
    blend<FloatProduct>, details,
};

}  // namespace SMSR_ISA_NAME
}  // namespace smsr
