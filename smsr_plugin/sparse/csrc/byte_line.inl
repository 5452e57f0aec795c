// Features in bytes, a line of 64 channels at a time, and sums of their products, which are integers.

SMSR_INLINE Line load_line(const Byte* at) {
  SMSR_WATCH_READ(at, kCacheLine);
  return _mm512_loadu_si512(at);
}

SMSR_INLINE Line load_line(const Signed* at) { return load_line(reinterpret_cast<const Byte*>(at)); }

// Packing goes by quarters of registers: four channels of each of four groups in turn.
SMSR_INLINE Line in_channel_order(__m512i packed) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, packed);
}

SMSR_INLINE void store_bytes(void* at, Line line, bool streams) {
  SMSR_WATCH_WRITE(at, kCacheLine);
  if (streams)
    _mm512_stream_si512(static_cast<__m512i*>(at), line);
  else
    _mm512_storeu_si512(at, line);
}

struct ByteFeatures {
  using Element = Byte;
  using Pooled = HalfFeatures;
  static constexpr int kGroups = 4;  // a line, or the first of them
  static constexpr int kStep = kCacheLine;

  SMSR_INLINE Vec in_order(const Byte* at) {
    SMSR_WATCH_READ(at, kLine);
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return Vec(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)));
  }

  // To the nearest levels in 0 ... 255, halves to even ones; NaN is 0.
  SMSR_INLINE __m512i levels(Vec v) {
    const __m512 positive = _mm512_max_ps(__m512(v), _mm512_setzero_ps());
    return _mm512_cvtps_epi32(_mm512_min_ps(positive, _mm512_set1_ps(255)));
  }

  template <int Groups>
  SMSR_INLINE void put_line(Byte* at, const Vec (&v)[Groups], bool streams) {
    __m512i w[kGroups] = {};
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) w[g] = levels(v[g]);
    store_bytes(at,
                in_channel_order(_mm512_packus_epi16(_mm512_packus_epi32(w[0], w[1]),
                                                     _mm512_packus_epi32(w[2], w[3]))),
                streams);
  }
};

// Levels of either sign, to the nearest in -127 ... 127; NaN is 127.
struct SignedFeatures {
  using Element = Signed;
  static constexpr int kGroups = 4;
  static constexpr int kStep = kCacheLine;

  SMSR_INLINE __m512i levels(Vec v) {
    const __m512 below = _mm512_min_ps(__m512(v), _mm512_set1_ps(127));
    return _mm512_cvtps_epi32(_mm512_max_ps(below, _mm512_set1_ps(-127)));
  }

  template <int Groups>
  SMSR_INLINE void put_line(Signed* at, const Vec (&v)[Groups], bool streams) {
    __m512i w[kGroups] = {};
#pragma GCC unroll 4
    for (int g = 0; g < Groups; ++g) w[g] = levels(v[g]);
    store_bytes(at,
                in_channel_order(_mm512_packs_epi16(_mm512_packs_epi32(w[0], w[1]),
                                                    _mm512_packs_epi32(w[2], w[3]))),
                streams);
  }
};

struct LevelSums {
  SMSR_INLINE Vec unit(const Store& s, int c) { return load(s.unit + c); }
  SMSR_INLINE Vec read(const float* at, Vec unit) {
    SMSR_WATCH_READ(at, sizeof(Vec));
    return Vec(_mm512_cvtepi32_ps(_mm512_loadu_si512(at))) * unit;
  }
};
