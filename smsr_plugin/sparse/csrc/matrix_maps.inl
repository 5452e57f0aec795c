// An attention, a blend and a convolution of stride 2 with matrix tiles. What they see begins with a line; weights of
// channels that are not meant are zero.

// 16 rows, `step` pixels apart, as a matrix tile: where they lie, or copied if fewer are left, the last one
// again.
struct RowTile {
  const Half* first;
  int64_t stride;  // bytes
};

SMSR_INLINE RowTile row_tile(const Half* first, int step, int count, Half (&copies)[kTileElements]) {
  if (count >= kRun) return {first, step * kLineBytes};
  for (int r = 0; r < kRun; ++r)
    _mm512_store_si512(copies + r * kHalfLine,
                       load_line(first + int64_t(r < count ? r : count - 1) * step * kHalfLine));
  return {copies, kLineBytes};
}

// Adds the products of a line of the rows with a line of weights to the sums of up to four panels, which
// are `panel` elements of weights apart: matrix tiles 0 to 3.
SMSR_INLINE void add_line(const RowTile& rows, const Half* w, int64_t panel, int panels) {
  tiles_see_memory();
  SMSR_LOAD_TILE(4, rows.first, rows.stride);
  SMSR_LOAD_TILE(5, w, kLineBytes);
  _tile_dpbf16ps(0, 4, 5);
  if (panels > 1) {
    SMSR_LOAD_TILE(6, w + panel, kLineBytes);
    _tile_dpbf16ps(1, 4, 6);
  }
  if (panels > 2) {
    SMSR_LOAD_TILE(7, w + 2 * panel, kLineBytes);
    _tile_dpbf16ps(2, 4, 7);
  }
  if (panels > 3) {
    SMSR_LOAD_TILE(5, w + 3 * panel, kLineBytes);
    _tile_dpbf16ps(3, 4, 5);
  }
}

// Stores the sums as rows of floats `n` apart.
SMSR_INLINE void store_sums(float* sums, int n, int panels) {
  const int64_t stride = n * int64_t(sizeof(float));
  SMSR_STORE_TILE(0, sums, stride);
  if (panels > 1) SMSR_STORE_TILE(1, sums + kLine, stride);
  if (panels > 2) SMSR_STORE_TILE(2, sums + 2 * kLine, stride);
  if (panels > 3) SMSR_STORE_TILE(3, sums + 3 * kLine, stride);
  tiles_see_memory();
}

SMSR_INLINE void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

constexpr int kPanelsAtOnce = 4;

template <class Gate>
void matrix_attend(const Attend& p, int first, int last, float* scratch) {
  const TileRegisters registers;
  alignas(64) Half copies[kTileElements];
  float* const sums = scratch + int64_t(p.coarse_geometry.width) * p.n;
  const int64_t depth = int64_t(p.k) * kLine;
  for (int y = first; y < last; ++y) {
    coarse_row(p, y, scratch);
    for (int x = p.left; x < p.right; x += kRun) {
      const int count = p.right - x < kRun ? p.right - x : kRun;
      const int64_t at = p.geometry.index(y, x);
      for (int panel = 0; panel < p.n / kLine; panel += kPanelsAtOnce) {
        const auto* w = static_cast<const Half*>(p.weights) + panel * depth;
        zero_sums();
        for (int64_t k = 0, line = 0; k < p.k; k += kHalfLine, line += p.row_line, w += kTileElements)
          add_line(row_tile(static_cast<const Half*>(p.row) + line + at * kHalfLine, 1, count, copies), w,
                   depth, p.n / kLine - panel);
        store_sums(sums + panel * kLine, p.n, p.n / kLine - panel);
      }
      for (int r = 0; r < count; ++r)
        for_panels<kRows>(p.n / kLine, [&](int panel, auto panels) {
          constexpr int P = decltype(panels)::value;
          Vec t[P * kVecs];
          coarse_at<P>(p, scratch, x + r, panel, t);
#pragma GCC unroll 16
          for (int v = 0; v < P * kVecs; ++v) t[v] += load(sums + r * p.n + (panel + v) * kLine);
          scale_pixel<HalfFeatures, Gate, P>(p, at + r, panel, t);
        });
    }
  }
  if (p.streams) streamed();
}

void matrix_strided(const Strided& p, int first, int last, float* scratch) {
  const TileRegisters registers;
  alignas(64) Half copies[kTileElements];
  const Geometry &from = p.in_geometry, &to = p.out_geometry;
  const int64_t depth = int64_t(9) * p.k * kLine;
  for (int y = first; y < last; ++y)
    for (int x = 0; x < to.width; x += kRun) {
      const int count = to.width - x < kRun ? to.width - x : kRun;
      const auto* const corner = static_cast<const Half*>(p.in) +
                                 from.index(2 * y - p.padding, 2 * x - p.padding) * kHalfLine;
      for (int panel = 0; panel < p.n / kLine; panel += kPanelsAtOnce) {
        const auto* w = static_cast<const Half*>(p.weights) + panel * depth;
        zero_sums();
        for (int tap = 0; tap < 9; ++tap)
          for (int64_t k = 0, line = 0; k < p.k; k += kHalfLine, line += p.in_line, w += kTileElements)
            add_line(row_tile(corner + (tap / 3 * from.stride() + tap % 3) * kHalfLine + line, 2, count,
                              copies),
                     w, depth, p.n / kLine - panel);
        store_sums(scratch + panel * kLine, p.n, p.n / kLine - panel);
      }
      for (int c = 0; c < p.n; c += kLine) {
        const Vec bias = p.bias ? load(p.bias + c) : Vec{};
        float* const out = p.out + to.index(y, x) * kLine + channel_at(c, p.out_line);
        for (int r = 0; r < count; ++r) {
          const Vec value = load(scratch + int64_t(r) * p.n + c) + bias;
          store(out + r * kLine, p.relu ? relu(value) : value);
        }
      }
    }
}

// The lines that 16 pixels of a side read: where they lie, if they follow one another, or copied.
struct BlendRows {
  int32_t first;  // column, or -1
  const Half* copies;
};

// Calls f(plane of a line, number) for the lines of a side's sources.
template <class F>
SMSR_INLINE void for_lines(const BlendSide& side, F f) {
  int64_t number = 0;
  for (int s = 0; s < side.num_sources; ++s) {
    const Source& source = side.sources[s];
    const auto* line = static_cast<const Half*>(source.base);
    for (int k = 0; k < source.k; k += kHalfLine, line += source.line) f(line, number++);
  }
}

// Finds the rows of 16 columns, the last one again where fewer are left.
SMSR_INLINE BlendRows blend_rows(const BlendSide& side, int64_t row, const int32_t* list, int count,
                                 Half* copies) {
  int32_t at[kRun];
  for (int r = 0; r < kRun; ++r) at[r] = list[r < count ? r : count - 1];
  if (are_one_run(at)) return {at[0], nullptr};
  for_lines(side, [&](const Half* line, int64_t number) {
#pragma GCC unroll 16
    for (int r = 0; r < kRun; ++r)
      _mm512_store_si512(copies + number * kTileElements + r * kHalfLine,
                         load_line(line + (row + at[r]) * kHalfLine));
  });
  return {-1, copies};
}

// Copies, products and what becomes of them take turns, `kBlendPixels` at a time: each waits for the stores
// of the one before.
void matrix_blend(const Blend& p, int first, int last, float* scratch) {
  const TileRegisters registers;
  float* const sums = scratch;
  auto* const copies = reinterpret_cast<Half*>(sums + kBlendPixels * int64_t(p.n));
  const int depth = p.active.depth > p.inactive.depth ? p.active.depth : p.inactive.depth;
  const int64_t room = int64_t(kRun) * depth;
  float* const lists = sums + kBlendPixels * (int64_t(p.n) + depth / 2);
  for_sides(p, first, last, lists, [&](const BlendSide& side, int64_t row, const int32_t* list, int count) {
    const int64_t panel_of_weights = int64_t(side.depth) * kLine;
    for (int i = 0; i < count; i += kBlendPixels) {
      const int pixels = count - i < kBlendPixels ? count - i : kBlendPixels;
      BlendRows rows[kBlendPixels / kRun];
      for (int g = 0; g * kRun < pixels; ++g)
        rows[g] = blend_rows(side, row, list + i + g * kRun, pixels - g * kRun, copies + g * room);
      for (int panel = 0; panel < p.n / kLine; panel += kPanelsAtOnce)
        for (int g = 0; g * kRun < pixels; ++g) {
          const auto* w = static_cast<const Half*>(side.weights) + panel * panel_of_weights;
          zero_sums();
          for_lines(side, [&](const Half* line, int64_t number) {
            const Half* const at = rows[g].copies ? rows[g].copies + number * kTileElements
                                                  : line + (row + rows[g].first) * kHalfLine;
            add_line({at, kLineBytes}, w + number * kTileElements, panel_of_weights, p.n / kLine - panel);
          });
          store_sums(sums + int64_t(g) * kRun * p.n + panel * kLine, p.n, p.n / kLine - panel);
        }
      for (int r = 0; r < pixels; ++r)
        for_panels<kRows>(p.n / kLine, [&](int panel, auto panels) {
          constexpr int P = decltype(panels)::value;
          Vec v[P * kVecs];
#pragma GCC unroll 16
          for (int k = 0; k < P * kVecs; ++k)
            v[k] = load(sums + int64_t(r) * p.n + (panel + k) * kLine) +
                   load(side.bias + (panel + k) * kLine);
          put_vectors<HalfFeatures>(static_cast<Half*>(p.out) + (row + list[i + r]) * kHalfLine, p.out_line,
                                    panel * kLine, v, p.streams);
        });
    }
  });
}
