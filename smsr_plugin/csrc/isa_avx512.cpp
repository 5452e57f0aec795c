// AVX-512: vectors of 16 floats, 32 registers.
#include "kernels.h"
#include "parallel.h"

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2,prefer-vector-width=512")
#define SMSR_ISA_NAME avx512
#define SMSR_LANES 16
#define SMSR_ROWS 6
#define SMSR_PANELS 4
#include "isa.inl"
#endif
