// What the bfloat16 kernels share: the pixels of a work item, and what becomes of their products.
//
// A work item is two runs. Whole runs are computed where they lie: copying scattered pixels together
// first would cost several times what the pixels cost that nobody asked for.

constexpr int kItemRuns = 2;
constexpr int kItemPixels = kItemRuns * kRun;

struct HalfItem {
  int64_t pixel[kItemRuns];   // the first of each run
  __mmask16 stored[kItemRuns];
  int runs;
};

SMSR_INLINE __mmask16 stored_pixels(const HalfRows& p, int64_t first, int x) {
  const int inside = p.geometry.width - x;
  const __mmask16 image = inside < kRun ? __mmask16((1u << inside) - 1) : __mmask16(0xffff);
  if (!p.activity) return image;
  SMSR_WATCH_READ(p.activity + first, kRun);
  const __m128i activity = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p.activity + first));
  return image & _mm_cmpeq_epi8_mask(activity, _mm_set1_epi8(char(p.stored)));
}

SMSR_INLINE HalfItem half_item(const HalfRows& p, int item) {
  const Geometry& g = p.geometry;
  HalfItem it{};
  for (int m = 0; m < kItemRuns; ++m) {
    const int at = item * kItemRuns + m;
    if (at < p.count) ++it.runs;
    const int run = p.runs[at < p.count ? at : p.count - 1];  // the last one again
    const int y = run / g.run_cols(), x = run % g.run_cols() * kRun;
    it.pixel[m] = g.index(y, x);
    it.stored[m] = stored_pixels(p, it.pixel[m], x);
  }
  return it;
}

// value[32][32] holds the products of the item's pixels with the outputs c ... c + 31, of which
// Outputs * 16 exist. Adds bias and residual, applies ReLU, and stores the rows.
template <HalfOut Kind, bool Residual, int Outputs>
SMSR_INLINE void finish_rows(const HalfRows& p, const HalfItem& it, int c, float* value,
                             double* sums) {
  const Vec floor = p.relu ? Vec{} : Vec{} - __builtin_inff();
  const int line = c / kHalfLine;
  Vec bias[Outputs], sum[Outputs] = {};
  for (int i = 0; i < Outputs; ++i) bias[i] = p.bias ? load(p.bias + c + i * kLine) : Vec{};
  for (int m = 0; m < it.runs; ++m) {
    for (int r = 0; r < kRun; ++r) {
      const int64_t pixel = it.pixel[m] + r;
      uint16_t* const out = static_cast<uint16_t*>(p.out) + line * p.line + pixel * kHalfLine;
      if (!(it.stored[m] >> r & 1)) {
        if (Kind == HalfOut::kHalf && line >= p.dense_lines)
          store_line(out, __m512i{}, p.streams);
        continue;
      }
      float* const from = value + (m * kRun + r) * kHalfLine;
      Vec v[2] = {};
#pragma GCC unroll 2
      for (int i = 0; i < Outputs; ++i) {
        v[i] = load(from + i * kLine) + bias[i];
        if constexpr (Residual && Kind == HalfOut::kHalf) {
          const __m512i row = load_line(static_cast<const uint16_t*>(p.residual) +
                                        line * p.residual_line + pixel * kHalfLine);
          v[i] += widened(i ? _mm512_extracti64x4_epi64(row, 1) : _mm512_castsi512_si256(row));
        }
        if constexpr (Residual && Kind == HalfOut::kFloat)
          v[i] += load(static_cast<const float*>(p.residual) + pixel * kLine +
                       channel_at<float>(c + i * kLine, p.residual_line));
        v[i] = v[i] < floor ? floor : v[i];
        sum[i] += v[i];
        if constexpr (Kind == HalfOut::kPooled) store(from + i * kLine, v[i]);
        if constexpr (Kind == HalfOut::kFloat)
          store(static_cast<float*>(p.out) + pixel * kLine + channel_at<float>(c + i * kLine, p.line),
                v[i]);
      }
      if constexpr (Kind == HalfOut::kHalf)
        store_line(out, __m512i(_mm512_cvtne2ps_pbh(__m512(v[1]), __m512(v[0]))), p.streams);
    }
  }
  if (sums)
    for (int i = 0; i < Outputs; ++i)
      for (int lane = 0; lane < kLine; ++lane) sums[c + i * kLine + lane] = double(sum[i][lane]);
}

// The item's runs are the upper and the lower row of a patch.
template <int Outputs>
SMSR_INLINE void pool_rows(const HalfRows& p, const HalfItem& it, int c, const float* value) {
  const Geometry& g = p.geometry;
  const Geometry half{g.height / 2, g.width / 2};
  const int64_t upper = it.pixel[0] - g.index(0, 0);
  const int y = int(upper / g.stride()), x = int(upper % g.stride());
  for (int i = 0; i < kRun / 2 && x + 2 * i < g.width; ++i)
    for (int o = 0; o < Outputs * kLine; o += kLine) {
      const float* const a = value + 2 * i * kHalfLine + o;
      const float* const b = a + kRun * kHalfLine;
      store(static_cast<float*>(p.out) + half.index(y / 2, x / 2 + i) * kLine +
                channel_at<float>(c + o, p.line),
            0.25f * (load(a) + load(a + kHalfLine) + load(b) + load(b + kHalfLine)));
    }
}

template <int Outputs>
SMSR_INLINE void finish_item(const HalfRows& p, const HalfItem& it, int c, float* value,
                             double* sums) {
  if (p.kind == HalfOut::kPooled) {
    finish_rows<HalfOut::kPooled, false, Outputs>(p, it, c, value, sums);
    pool_rows<Outputs>(p, it, c, value);
  } else if (p.kind == HalfOut::kFloat && p.residual) {
    finish_rows<HalfOut::kFloat, true, Outputs>(p, it, c, value, sums);
  } else if (p.kind == HalfOut::kFloat) {
    finish_rows<HalfOut::kFloat, false, Outputs>(p, it, c, value, sums);
  } else if (p.residual) {
    finish_rows<HalfOut::kHalf, true, Outputs>(p, it, c, value, sums);
  } else {
    finish_rows<HalfOut::kHalf, false, Outputs>(p, it, c, value, sums);
  }
}

// Computes the work items [first, last), a few at a time, one line of outputs after the other: its
// weights then stay in the first-level cache. multiply(Int<outputs / 16>, item, weights) fills
// `value`, (32, 32).
template <class Multiply>
SMSR_INLINE void half_items(const HalfRows& p, int first, int last, int64_t panel, float* value,
                            Multiply multiply) {
  for (int begin = first; begin < last; begin += kHalfItems) {
    const int end = last - begin < kHalfItems ? last : begin + kHalfItems;
    for (int c = 0; c < p.n; c += kHalfLine) {
      const uint16_t* const w = p.weights + c / kLine * panel;
      for (int item = begin; item < end; ++item) {
        const HalfItem it = half_item(p, item);
        double* const sums = p.sums ? p.sums + int64_t(item) * p.n : nullptr;
        if (c + kLine < p.n) {
          multiply(Int<2>{}, it, w);
          finish_item<2>(p, it, c, value, sums);
        } else {
          multiply(Int<1>{}, it, w);
          finish_item<1>(p, it, c, value, sums);
        }
      }
    }
  }
  if (p.streams) _mm_sfence();
}
