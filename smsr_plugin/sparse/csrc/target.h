// Compiles functions for an instruction set that the rest of the program cannot count on.
//
// It holds for what lies between SMSR_TARGET_BEGIN("features") and SMSR_TARGET_END. Headers must be
// included before, so that nothing of theirs is compiled for it.
#pragma once

#define SMSR_INLINE static inline __attribute__((always_inline))
#define SMSR_PRAGMA(...) _Pragma(#__VA_ARGS__)
#if defined(__clang__)
#define SMSR_TARGET_BEGIN(features) \
  SMSR_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define SMSR_TARGET_END SMSR_PRAGMA(clang attribute pop)
#else
#define SMSR_TARGET_BEGIN(features) \
  SMSR_PRAGMA(GCC push_options) \
  SMSR_PRAGMA(GCC target(features, "prefer-vector-width=512"))
#define SMSR_TARGET_END SMSR_PRAGMA(GCC pop_options)
#endif
