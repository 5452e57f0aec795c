// AVX-512: vectors of 16 floats, 32 registers.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#if defined(__x86_64__)
SMSR_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2")
#define SMSR_ISA_NAME avx512
#define SMSR_LANES 16
#define SMSR_ROWS 6
#define SMSR_PANELS 4
#include "isa.inl"
SMSR_TARGET_END
#endif
