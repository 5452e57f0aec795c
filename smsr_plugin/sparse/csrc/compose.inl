// The residual, whose channels are shuffled into pixels, plus the enlarged lq image. A work item is a row
// of the lq image: `scale` rows of the output.

// A row of the lq image between its rows, by the taps of phase `i`; two more pixels at each end.
SMSR_INLINE void filter_down(const Compose& p, const float* image, int y, int i, float* line) {
  const int height = p.geometry.height, width = p.geometry.width;
  const float* const w = p.taps + i * 5;
  const float* row[5];
  for (int t = 0; t < 5; ++t) {
    const int at = y + t - 2;
    row[t] = image + int64_t(at < 0 ? 0 : at >= height ? height - 1 : at) * width;
  }
  for (int x = 0; x < width; ++x)
    line[x] = w[0] * row[0][x] + w[1] * row[1][x] + w[2] * row[2][x] + w[3] * row[3][x] +
              w[4] * row[4][x];
  line[-2] = line[-1] = line[0];
  line[width] = line[width + 1] = line[width - 1];
}

// One row of the output: `Scale` pixels, or p.scale if that is 0, for each one of `residual`, whose first
// channel is `c`; plus `enlarged`, a row for each of them, unless it is null.
template <int Scale>
SMSR_INLINE void shuffle(const Compose& p, const float* residual, int c, const float* enlarged,
                         float* out) {
  const int width = p.geometry.width, scale = Scale ? Scale : p.scale;
  const bool together = c / kLine == (c + scale - 1) / kLine;  // in one line
  if (together && !enlarged) {
    const float* from = residual + channel_at(c, p.residual_line);
    for (int x = 0; x < width; ++x, from += kLine, out += scale)
      for (int j = 0; j < scale; ++j) out[j] = from[j];
    return;
  }
  for (int j = 0; j < scale; ++j) {
    const float* const from = residual + channel_at(c + j, p.residual_line);
    const float* const added = enlarged ? enlarged + int64_t(j) * width : nullptr;
    for (int x = 0; x < width; ++x)
      out[int64_t(x) * scale + j] = (added ? added[x] : 0.0f) + from[int64_t(x) * kLine];
  }
}

void compose(const Compose& p, int first, int last, float* scratch) {
  const int height = p.geometry.height, width = p.geometry.width, s = p.scale;
  float* const enlarged = scratch;  // s rows
  float* const line = enlarged + int64_t(s) * width + 2;
  for (int y = first; y < last; ++y) {
    const float* const residual = p.residual + p.geometry.index(y, 0) * kLine;
    for (int c = 0; c < p.channels; ++c)
      for (int i = 0; i < s; ++i) {
        if (p.taps) filter_down(p, p.lq + int64_t(c) * height * width, y, i, line);
        for (int j = 0; p.taps && j < s; ++j) {
          const float* const w = p.taps + j * 5;
          float* const to = enlarged + int64_t(j) * width;
          for (int x = 0; x < width; ++x)
            to[x] = w[0] * line[x - 2] + w[1] * line[x - 1] + w[2] * line[x] + w[3] * line[x + 1] +
                    w[4] * line[x + 2];
        }
        const int channel = (c * s + i) * s;
        float* const out = p.sr + ((int64_t(c) * height + y) * s + i) * width * s;
        const float* const added = p.taps ? enlarged : nullptr;
        if (s == 2)
          shuffle<2>(p, residual, channel, added, out);
        else if (s == 4)
          shuffle<4>(p, residual, channel, added, out);
        else
          shuffle<0>(p, residual, channel, added, out);
      }
  }
}
