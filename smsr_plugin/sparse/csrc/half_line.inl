// Lines of bfloat16 in memory.

SMSR_INLINE Vec widened(__m256i half) {
  return Vec(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16)));
}

SMSR_INLINE __m512i load_line(const uint16_t* at) {
  SMSR_WATCH_READ(at, kHalfLine * 2);
  return _mm512_loadu_si512(at);
}

SMSR_INLINE void store_line(uint16_t* at, __m512i line, bool streams) {
  SMSR_WATCH_WRITE(at, kHalfLine * 2);
  if (streams)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(at), line);
  else
    _mm512_storeu_si512(at, line);
}
