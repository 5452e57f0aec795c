// The residual, whose channels are shuffled into pixels, plus the enlarged lq image. A work item is a row
// of the lq image: `scale` rows of the output.

// The five taps of a phase: locals, which need not be read again after each store.
struct Taps {
  float w0, w1, w2, w3, w4;

  Taps(const Compose& p, int phase) {
    const float* const w = p.taps + phase * 5;
    w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4];
  }
  float of(float a, float b, float c, float d, float e) const {
    return w0 * a + w1 * b + w2 * c + w3 * d + w4 * e;
  }
};

// A row of the lq image between its rows, by the taps of phase `i`; two more pixels at each end.
SMSR_INLINE void filter_down(const Compose& p, const float* image, int y, int i, float* __restrict line) {
  const int height = p.geometry.height, width = p.geometry.width;
  const Taps taps(p, i);
  const float* row[5];
  for (int t = 0; t < 5; ++t) {
    const int at = y + t - 2;
    row[t] = image + int64_t(at < 0 ? 0 : at >= height ? height - 1 : at) * width;
  }
  for (int x = 0; x < width; ++x) line[x] = taps.of(row[0][x], row[1][x], row[2][x], row[3][x], row[4][x]);
  line[-2] = line[-1] = line[0];
  line[width] = line[width + 1] = line[width - 1];
}

// One row of the output: `Scale` pixels, or p.scale if that is 0, for each one of `residual`, whose first
// channel is `c`; plus a row between those of the lq image, filtered across, unless it is null.
template <int Scale>
SMSR_INLINE void put_row(const Compose& p, const float* residual, int c, const float* __restrict line,
                         float* __restrict out) {
  const int64_t width = p.geometry.width;
  const int scale = Scale ? Scale : p.scale;
  for (int j = 0; line && j < scale; ++j) {
    const Taps taps(p, j);
    for (int64_t x = 0; x < width; ++x)
      out[x * scale + j] = taps.of(line[x - 2], line[x - 1], line[x], line[x + 1], line[x + 2]);
  }
  if (Scale && c / kLine == (c + scale - 1) / kLine) {  // in one line
    const float* __restrict from = residual + channel_at(c, p.residual_line);
    if (line)
      for (int64_t x = 0; x < width; ++x)
        for (int j = 0; j < scale; ++j) out[x * scale + j] += from[x * kLine + j];
    else
      for (int64_t x = 0; x < width; ++x)
        for (int j = 0; j < scale; ++j) out[x * scale + j] = from[x * kLine + j];
    return;
  }
  for (int j = 0; j < scale; ++j) {
    const float* __restrict from = residual + channel_at(c + j, p.residual_line);
    if (line)
      for (int64_t x = 0; x < width; ++x) out[x * scale + j] += from[x * kLine];
    else
      for (int64_t x = 0; x < width; ++x) out[x * scale + j] = from[x * kLine];
  }
}

void compose(const Compose& p, int first, int last, float* scratch) {
  const int height = p.geometry.height, width = p.geometry.width, s = p.scale;
  float* const line = p.taps ? scratch + 2 : nullptr;
  for (int y = first; y < last; ++y) {
    const float* const residual = p.residual + p.geometry.index(y, 0) * kLine;
    for (int c = 0; c < p.channels; ++c)
      for (int i = 0; i < s; ++i) {
        if (line) filter_down(p, p.lq + int64_t(c) * height * width, y, i, line);
        const int channel = (c * s + i) * s;
        float* const out = p.sr + ((int64_t(c) * height + y) * s + i) * width * s;
        if (s == 2)
          put_row<2>(p, residual, channel, line, out);
        else if (s == 3)
          put_row<3>(p, residual, channel, line, out);
        else if (s == 4)
          put_row<4>(p, residual, channel, line, out);
        else
          put_row<0>(p, residual, channel, line, out);
      }
  }
}
