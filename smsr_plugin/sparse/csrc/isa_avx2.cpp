// AVX2 and FMA: vectors of 8 floats, 16 registers.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#if defined(__x86_64__)
SMSR_TARGET_BEGIN("avx2,fma,bmi,bmi2")
#define SMSR_ISA_NAME avx2
#define SMSR_LANES 8
#define SMSR_ROWS 6
#define SMSR_PANELS 1
#include "isa.inl"
SMSR_TARGET_END
#endif
