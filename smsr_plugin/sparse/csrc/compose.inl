// Bicubic upsampling of the lq image plus the residual, whose channels are shuffled into pixels.
// A work item is a row of the lq image: `scale` rows of the output.

void compose(const Compose& p, int first, int last, float* scratch) {
  const int height = p.geometry.height, width = p.geometry.width, s = p.scale;
  float* const line = scratch + 2;  // one vertically filtered row with two more pixels at each end
  for (int y = first; y < last; ++y)
    for (int c = 0; c < p.channels; ++c) {
      const float* const image = p.lq + int64_t(c) * height * width;
      for (int i = 0; i < s; ++i) {
        const float* const wy = p.taps + i * 5;
        const float* row[5];
        for (int t = 0; t < 5; ++t) {
          const int at = y + t - 2;
          row[t] = image + int64_t(at < 0 ? 0 : at >= height ? height - 1 : at) * width;
        }
        for (int x = 0; x < width; ++x)
          line[x] = wy[0] * row[0][x] + wy[1] * row[1][x] + wy[2] * row[2][x] +
                    wy[3] * row[3][x] + wy[4] * row[4][x];
        line[-2] = line[-1] = line[0];
        line[width] = line[width + 1] = line[width - 1];
        float* const out = p.sr + ((int64_t(c) * height + y) * s + i) * width * s;
        for (int j = 0; j < s; ++j) {
          const float* const wx = p.taps + j * 5;
          const float* const residual = p.residual + p.geometry.index(y, 0) * kLine +
                                        channel_at<float>((c * s + i) * s + j, p.residual_line);
          for (int x = 0; x < width; ++x)
            out[int64_t(x) * s + j] = wx[0] * line[x - 2] + wx[1] * line[x - 1] + wx[2] * line[x] +
                                      wx[3] * line[x + 1] + wx[4] * line[x + 2] +
                                      residual[int64_t(x) * kLine];
        }
      }
    }
}
