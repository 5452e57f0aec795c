// Lines of bfloat16 in memory and in AVX-512's registers.

using Line = __m512i;
using Pairs = __m512bh;  // a line that is multiplied

SMSR_INLINE Vec widened(__m256i half) {
  return Vec(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)));
}

SMSR_INLINE Line load_line(const Half* at) {
  SMSR_WATCH_READ(at, kHalfLine * 2);
  return _mm512_loadu_si512(at);
}

SMSR_INLINE void store_line(Half* at, Line line, bool streams) {
  SMSR_WATCH_WRITE(at, kHalfLine * 2);
  if (streams)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(at), line);
  else
    _mm512_storeu_si512(at, line);
}

SMSR_INLINE Vec even_channels(Line line) {
  return Vec(_mm512_castsi512_ps(_mm512_slli_epi32(line, 16)));
}

SMSR_INLINE Vec odd_channels(Line line) {
  return Vec(_mm512_castsi512_ps(_mm512_and_si512(line, _mm512_set1_epi32(int(0xffff0000)))));
}

SMSR_INLINE Vec load_half_line(const Half* at) {
  SMSR_WATCH_READ(at, kLine * 2);
  return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

SMSR_INLINE Line rounded(Vec first, Vec second) {
  return __m512i(_mm512_cvtne2ps_pbh(__m512(second), __m512(first)));
}

// A line that is zero beyond the first half.
SMSR_INLINE Line rounded(Vec first) {
  return _mm512_zextsi256_si512(__m256i(_mm512_cvtneps_pbh(__m512(first))));
}

SMSR_INLINE void store_half_line(Half* at, Vec v) {
  SMSR_WATCH_WRITE(at, kLine * 2);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), __m256i(_mm512_cvtneps_pbh(__m512(v))));
}

SMSR_INLINE Pairs load_pairs(const Half* at) { return __m512bh(load_line(at)); }

// The same two channels everywhere.
SMSR_INLINE Pairs everywhere(int two) { return __m512bh(_mm512_set1_epi32(two)); }

// sum + a pair by the pairs of `b`, one for each output.
SMSR_INLINE Vec dot(Vec sum, Pairs pair, Pairs b) {
  return Vec(_mm512_dpbf16_ps(__m512(sum), pair, b));
}
