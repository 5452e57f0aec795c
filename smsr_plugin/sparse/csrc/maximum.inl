// The largest values of squares of a map. A work item is a row of the output.

void maximum(const Maximum& p, int first, int last, float*) {
  const Geometry& g = p.in_geometry;
  for (int y = first; y < last; ++y)
    for (int x = 0; x < p.out_geometry.width; ++x)
      for (int c = 0; c < p.lines * kLine; c += SMSR_LANES) {
        const float* const from = p.in + channel_at(c, p.in_line) +
                                  g.index(y * p.step, x * p.step) * kLine;
        Vec most = load(from);
        for (int dy = 0; dy < p.side; ++dy)
          for (int dx = 0; dx < p.side; ++dx) {
            const Vec v = load(from + (dy * g.stride() + dx) * kLine);
            most = v <= most ? most : v;  // NaN stays, unless another value follows
          }
        store(p.out + channel_at(c, p.out_line) + p.out_geometry.index(y, x) * kLine, most);
      }
}
