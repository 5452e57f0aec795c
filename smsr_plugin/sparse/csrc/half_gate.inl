// x / (1 + 2^t) to 13 bits, for what is rounded to 8.
struct HalfGate {
  SMSR_INLINE Vec scaled(Vec x, Vec t) {
    constexpr int kDown = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
    const Vec f = t - Vec(_mm512_roundscale_ps(__m512(t), kDown));  // vreduceps takes three times as long
    Vec e = f * 7.80245511e-2f + 0.226067143f;  // 2^f to 1e-4
    e = e * f + 0.695833528f;
    e = e * f + 0.999925219f;
    const Vec power = Vec(_mm512_scalef_ps(__m512(e), __m512(t)));  // e 2^floor(t)
    return x * Vec(_mm512_rcp14_ps(__m512(power + 1.0f)));
  }
};
