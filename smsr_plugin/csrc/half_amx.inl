// HalfRows on AMX: matrix tiles of 16 pixels by 32 channels times 32 channels by 16 outputs.
//
// Two tiles of pixels by two of outputs are accumulated at a time. Pixels that follow one another
// and see all of their neighbours are read in place; others are gathered first, a few sources at a
// time, so that they stay in the first-level cache while all outputs are computed.

constexpr int kTileRows = 16;
constexpr int kTileElements = kTileRows * kHalfLine;
constexpr int kGatherElements = 24 * kTileElements;  // 24 KB: two tiles of twelve lines

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tile loads do not tell the compiler which memory they read: what they are to see must be written
// before this.
SMSR_INLINE void written() { __asm__ volatile("" ::: "memory"); }

SMSR_INLINE void watch_tile_read(const void* at, int64_t stride) {
  for (int r = 0; r < kTileRows; ++r)
    SMSR_WATCH_READ(static_cast<const char*>(at) + r * stride, kHalfLine * 2);
}

SMSR_INLINE void watch_tile_write(void* at, int64_t stride) {
  for (int r = 0; r < kTileRows; ++r)
    SMSR_WATCH_WRITE(static_cast<char*>(at) + r * stride, kHalfLine * 2);
}

// Two matrix tiles of pixels, rows `stride` bytes apart; the next line lies `step` elements on.
struct Pixels {
  const uint16_t* at[2];
  int64_t stride[2], step[2];
};

// Accumulators are tiles 0 ... 3, pixels 4 and 5, outputs 6 and 7.
template <int Outputs>
SMSR_INLINE void load_accumulators(const float* c, int64_t n) {
  for (int i = 0; i < 2 * Outputs; ++i)
    watch_tile_read(c + i % 2 * kTileRows * n + i / 2 * kLine, n * 4);
  _tile_loadd(0, c, n * 4);
  _tile_loadd(2, c + kTileRows * n, n * 4);
  if constexpr (Outputs == 2) {
    _tile_loadd(1, c + kLine, n * 4);
    _tile_loadd(3, c + kTileRows * n + kLine, n * 4);
  }
}

template <int Outputs>
SMSR_INLINE void store_accumulators(float* c, int64_t n) {
  for (int i = 0; i < 2 * Outputs; ++i)
    watch_tile_write(c + i % 2 * kTileRows * n + i / 2 * kLine, n * 4);
  _tile_stored(0, c, n * 4);
  _tile_stored(2, c + kTileRows * n, n * 4);
  if constexpr (Outputs == 2) {
    _tile_stored(1, c + kLine, n * 4);
    _tile_stored(3, c + kTileRows * n + kLine, n * 4);
  }
}

template <int Outputs>
SMSR_INLINE void multiply_line(Pixels& a, const uint16_t* w, int64_t panel) {
  for (int i = 0; i < Outputs; ++i) watch_tile_read(w + i * panel, kHalfLine * 2);
  for (int m = 0; m < 2; ++m) watch_tile_read(a.at[m], a.stride[m]);
  _tile_loadd(6, w, kHalfLine * 2);
  if constexpr (Outputs == 2) _tile_loadd(7, w + panel, kHalfLine * 2);
  _tile_loadd(4, a.at[0], a.stride[0]);
  _tile_loadd(5, a.at[1], a.stride[1]);
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(2, 5, 6);
  if constexpr (Outputs == 2) {
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  a.at[0] += a.step[0];
  a.at[1] += a.step[1];
}

// Copies what the pixels of one matrix tile see of a source, a tile for each line. There are no
// branches, which masks would make mispredict.
SMSR_INLINE void gather(const HalfSource& s, const int64_t* pixel, const uint16_t* neighbours,
                        uint16_t* to) {
  for (int r = 0; r < kTileRows; ++r) {
    const uint16_t* const row = s.base + (pixel[r] + s.offset) * s.stride;
    const __mmask16 visible = s.bit < 0 ? 0xffff : __mmask16(-(neighbours[r] >> s.bit & 1));
    for (int line = 0; line < s.lines; ++line) {
      const __mmask16 seen = line < s.dense_lines ? __mmask16(0xffff) : visible;
      if (seen) SMSR_WATCH_READ(row + line * kHalfLine, kHalfLine * 2);
      _mm512_storeu_si512(to + line * kTileElements + r * kHalfLine,
                          _mm512_maskz_loadu_epi32(seen, row + line * kHalfLine));
    }
  }
}

// value[32][outputs from n] (+)= the sources [first, end), whose weights begin at `w`.
template <int Outputs>
SMSR_INLINE void multiply_sources(const HalfRows& p, const HalfItem& it, int first, int end,
                                  const uint16_t* gathered, const uint16_t* w, int64_t panel,
                                  float* value) {
  if (first == 0) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    load_accumulators<Outputs>(value, p.n);
  }
  for (int i = first; i < end; ++i) {
    const HalfSource& s = p.sources[i];
    Pixels a;
    for (int m = 0; m < 2; ++m) {
      if (it.in_place[m]) {
        a.at[m] = s.base + (it.pixel[m * kTileRows] + s.offset) * s.stride;
        a.stride[m] = s.stride * 2;
        a.step[m] = kHalfLine;
      } else {
        a.at[m] = gathered;
        a.stride[m] = kHalfLine * 2;
        a.step[m] = kTileElements;
        gathered += s.lines * kTileElements;
      }
    }
    for (int line = 0; line < s.lines; ++line, w += kTileElements)
      multiply_line<Outputs>(a, w, panel);
  }
  store_accumulators<Outputs>(value, p.n);
}

SMSR_INLINE void multiply_item(const HalfRows& p, const HalfItem& it, int total_lines, float* value,
                               uint16_t* gathered) {
  const int64_t panel = int64_t(total_lines) * kTileElements;
  const bool gathers = !it.in_place[0] || !it.in_place[1];
  if (p.num_sources == 0)
    for (int i = 0; i < kHalfBlock * p.n; ++i) value[i] = 0;
  int done = 0;  // lines
  for (int first = 0, end = 0; first < p.num_sources; first = end) {
    // As many sources as fit the gathering buffer; all of them if nothing is gathered.
    int lines = 0;
    while (end < p.num_sources &&
           (end == first || !gathers ||
            (lines + p.sources[end].lines) * 2 * kTileElements <= kGatherElements))
      lines += p.sources[end++].lines;
    uint16_t* to = gathered;
    for (int i = first; i < end; ++i)
      for (int m = 0; m < 2; ++m)
        if (!it.in_place[m]) {
          gather(p.sources[i], it.pixel + m * kTileRows, it.neighbours + m * kTileRows, to);
          to += p.sources[i].lines * kTileElements;
        }
    written();
    const uint16_t* const w = p.weights + int64_t(done) * kTileElements;
    int n = 0;
    for (; n + 2 * kLine <= p.n; n += 2 * kLine)
      multiply_sources<2>(p, it, first, end, gathered, w + n / kLine * panel, panel, value + n);
    if (n < p.n)
      multiply_sources<1>(p, it, first, end, gathered, w + n / kLine * panel, panel, value + n);
    done += lines;
  }
}

void half_rows(const HalfRows& p, int first, int last, float* scratch) {
  const TileConfig config;
  _tile_loadconfig(&config);
  int lines = 0;
  for (int s = 0; s < p.num_sources; ++s) lines += p.sources[s].lines;
  float* const value = scratch;
  uint16_t* const gathered = reinterpret_cast<uint16_t*>(value + kHalfBlock * p.n);
  for (int item = first; item < last; ++item) {
    const HalfItem it = half_item(p, item);
    if (p.residual) prefetch_item(p, item + 1);
    multiply_item(p, it, lines, value, gathered);
    finish_item(p, it, value, p.sums ? p.sums + int64_t(item) * p.n : nullptr);
  }
  _tile_release();
}
