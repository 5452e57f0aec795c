// Any x86-64 or 64-bit Arm processor: vectors of 4 floats.
#include "kernels.h"
#include "parallel.h"
#include "target.h"
#include "watch.h"

#define SMSR_ISA_NAME baseline
#define SMSR_LANES 4
#if defined(__aarch64__)
#define SMSR_ROWS 6  // 32 registers
#else
#define SMSR_ROWS 3  // 16 registers
#endif
#define SMSR_PANELS 1
#include "isa.inl"
