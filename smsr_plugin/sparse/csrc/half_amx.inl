// HalfRows on AMX: matrix tiles of 16 pixels by 32 channels times 32 channels by 16 outputs. Two
// tiles of pixels by two of outputs are accumulated at a time.

constexpr int kTileElements = kRun * kHalfLine;

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Tile loads do not tell the compiler which memory they read or write.
SMSR_INLINE void watch_tile_read(const void* at) { SMSR_WATCH_READ(at, kTileElements * 2); }

SMSR_INLINE void watch_tile_write(void* at, int64_t stride) {
  for (int r = 0; r < kRun; ++r) SMSR_WATCH_WRITE(static_cast<char*>(at) + r * stride, kLine * 4);
}

// Accumulators are tiles 0 ... 3, pixels 4 and 5, outputs 6 and 7.
template <int Outputs>
SMSR_INLINE void multiply_item(const HalfRows& p, const HalfItem& it, const uint16_t* w,
                               int64_t panel, float* value) {
  constexpr int64_t line = kHalfLine * 2, row = kHalfLine * 4;  // bytes
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int s = 0; s < p.num_sources; ++s) {
    const HalfSource& source = p.sources[s];
    const uint16_t* a = source.base + (it.pixel[0] + source.offset) * kHalfLine;
    const uint16_t* b = source.base + (it.pixel[1] + source.offset) * kHalfLine;
    for (int i = 0; i < source.lines; ++i, w += kTileElements, a += source.line, b += source.line) {
      watch_tile_read(w);
      watch_tile_read(a);
      watch_tile_read(b);
      _tile_loadd(6, w, line);
      _tile_loadd(4, a, line);
      _tile_loadd(5, b, line);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (Outputs == 2) {
        watch_tile_read(w + panel);
        _tile_loadd(7, w + panel, line);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  for (int i = 0; i < 2 * Outputs; ++i)
    watch_tile_write(value + i % 2 * kRun * kHalfLine + i / 2 * kLine, row);
  _tile_stored(0, value, row);
  _tile_stored(2, value + kRun * kHalfLine, row);
  if constexpr (Outputs == 2) {
    _tile_stored(1, value + kLine, row);
    _tile_stored(3, value + kRun * kHalfLine + kLine, row);
  }
  __asm__ volatile("" ::: "memory");
}

void half_rows(const HalfRows& p, int first, int last, float* scratch) {
  const TileConfig config;
  _tile_loadconfig(&config);
  int64_t lines = 0;
  for (int s = 0; s < p.num_sources; ++s) lines += p.sources[s].lines;
  const int64_t panel = lines * kTileElements;
  half_items(p, first, last, panel, scratch,
             [&](auto outputs, const HalfItem& it, const uint16_t* w) {
               multiply_item<decltype(outputs)::value>(p, it, w, panel, scratch);
             });
  _tile_release();
}
