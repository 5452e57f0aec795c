// AVX2 and FMA: vectors of 8 floats, 16 registers.
#include "kernels.h"
#include "parallel.h"

#if defined(__x86_64__)
#pragma GCC target("avx2,fma,bmi,bmi2")
#define SMSR_ISA_NAME avx2
#define SMSR_LANES 8
#define SMSR_ROWS 6
#define SMSR_PANELS 1
#include "isa.inl"
#endif
