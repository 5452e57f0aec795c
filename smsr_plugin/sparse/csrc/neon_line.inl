// Lines of bfloat16 in memory and in NEON's registers, as half_line.inl has them in AVX-512's: a vector
// is four registers, and so is a line.

struct Line {
  uint16x8_t r[kRegisters];
};
using Pairs = Line;  // a line that is multiplied

SMSR_INLINE Line load_line(const Half* at) {
  SMSR_WATCH_READ(at, kHalfLine * 2);
  return {{vld1q_u16(at), vld1q_u16(at + 8), vld1q_u16(at + 16), vld1q_u16(at + 24)}};
}

// There are no stores past the cache.
SMSR_INLINE void store_line(Half* at, Line line, bool) {
  SMSR_WATCH_WRITE(at, kHalfLine * 2);
#pragma GCC unroll 4
  for (int i = 0; i < kRegisters; ++i) vst1q_u16(at + i * 8, line.r[i]);
}

SMSR_INLINE Vec even_channels(Line line) {
  return each([](uint16x8_t v) { return Register(vshlq_n_u32(vreinterpretq_u32_u16(v), 16)); }, line);
}

SMSR_INLINE Vec odd_channels(Line line) {
  return each(
      [](uint16x8_t v) {
        return Register(vandq_u32(vreinterpretq_u32_u16(v), vdupq_n_u32(0xffff0000)));
      },
      line);
}

SMSR_INLINE Vec load_half_line(const Half* at) {
  SMSR_WATCH_READ(at, kLine * 2);
  const uint16x8_t low = vld1q_u16(at), high = vld1q_u16(at + 8);
  return {{Register(vshll_n_u16(vget_low_u16(low), 16)), Register(vshll_high_n_u16(low, 16)),
           Register(vshll_n_u16(vget_low_u16(high), 16)), Register(vshll_high_n_u16(high, 16))}};
}

// Two registers of floats in one.
SMSR_INLINE uint16x8_t rounded(Register low, Register high) {
  return vreinterpretq_u16_bf16(
      vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(float32x4_t(low)), float32x4_t(high)));
}

SMSR_INLINE Line rounded(Vec first, Vec second) {
  return {{rounded(first.r[0], first.r[1]), rounded(first.r[2], first.r[3]),
           rounded(second.r[0], second.r[1]), rounded(second.r[2], second.r[3])}};
}

// A line that is zero beyond the first half.
SMSR_INLINE Line rounded(Vec first) {
  return {{rounded(first.r[0], first.r[1]), rounded(first.r[2], first.r[3]), vdupq_n_u16(0),
           vdupq_n_u16(0)}};
}

SMSR_INLINE void store_half_line(Half* at, Vec v) {
  SMSR_WATCH_WRITE(at, kLine * 2);
  vst1q_u16(at, rounded(v.r[0], v.r[1]));
  vst1q_u16(at + 8, rounded(v.r[2], v.r[3]));
}

SMSR_INLINE Pairs load_pairs(const Half* at) { return load_line(at); }

// The same two channels everywhere.
SMSR_INLINE bfloat16x8_t everywhere(int two) { return vreinterpretq_bf16_s32(vdupq_n_s32(two)); }

// sum + a pair by the pairs of `b`, one for each output.
SMSR_INLINE Vec dot(Vec sum, bfloat16x8_t pair, Pairs b) {
  return each(
      [pair](Register s, uint16x8_t pairs) {
        return Register(vbfdotq_f32(float32x4_t(s), vreinterpretq_bf16_u16(pairs), pair));
      },
      sum, b);
}
