// Compiles functions for an instruction set that the rest of the program cannot count on.
//
// It holds for what lies between SMSR_TARGET_BEGIN("features") and SMSR_TARGET_END. Headers must be
// included before, so that nothing of theirs is compiled for it.
#pragma once

// Whether NEON's operations of bfloat16 can be had in a part of a file: older compilers do not know
// them, or of Clang only where the whole file is compiled for them.
#if defined(__aarch64__) && (__GNUC__ >= 10 || __clang_major__ >= 17)
#define SMSR_NEON_BF16
#endif

#define SMSR_INLINE static inline __attribute__((always_inline))
#define SMSR_PRAGMA(...) _Pragma(#__VA_ARGS__)
#if defined(__clang__)
#define SMSR_TARGET_BEGIN(features) \
  SMSR_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define SMSR_TARGET_END SMSR_PRAGMA(clang attribute pop)
#else
#if defined(__x86_64__)
#define SMSR_TARGET(features) SMSR_PRAGMA(GCC target(features, "prefer-vector-width=512"))
#else
#define SMSR_TARGET(features) SMSR_PRAGMA(GCC target(features))
#endif
#define SMSR_TARGET_BEGIN(features) \
  SMSR_PRAGMA(GCC push_options) \
  SMSR_TARGET(features)
#define SMSR_TARGET_END SMSR_PRAGMA(GCC pop_options)
#endif
