// Products of matrix tiles (AMX): 16 rows of a line by a line of 16 outputs, in bfloat16 summed in float32,
// in bytes in integers.

template <class Element>
constexpr int kTileOf = kRun * kLineOf<Element>;
constexpr int kTileElements = kTileOf<Half>;
constexpr int64_t kLineBytes = kCacheLine;

template <class Element>
struct SumsOf {
  using Type = FloatSums;
};
template <>
struct SumsOf<Byte> {
  using Type = LevelSums;
};
template <>
struct SumsOf<Signed> {
  using Type = LevelSums;
};

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The tile registers of a thread, as long as it lives.
struct TileRegisters {
  TileRegisters() {
    const TileConfig config;
    // All of it must be in memory: GCC 12's intrinsic tells the compiler of its first eight bytes alone.
    __asm__ volatile("" : : "m"(config));
    _tile_loadconfig(&config);
  }
  ~TileRegisters() { _tile_release(); }
};

// Tile loads and stores do not tell the compiler which memory they read or write.
SMSR_INLINE void tiles_see_memory() { __asm__ volatile("" ::: "memory"); }

SMSR_INLINE void watch_tile_read(const void* at, int64_t stride = kLineBytes) {
  for (int r = 0; r < kRun; ++r)
    SMSR_WATCH_READ(static_cast<const char*>(at) + r * stride, kLine * 4);
}

SMSR_INLINE void watch_tile_write(void* at, int64_t stride) {
  for (int r = 0; r < kRun; ++r) SMSR_WATCH_WRITE(static_cast<char*>(at) + r * stride, kLine * 4);
}

#define SMSR_LOAD_TILE(tile, at, stride) \
  do {                                   \
    watch_tile_read(at, stride);         \
    _tile_loadd(tile, at, stride);       \
  } while (0)
#define SMSR_STORE_TILE(tile, at, stride) \
  do {                                    \
    watch_tile_write(at, stride);         \
    _tile_stored(tile, at, stride);       \
  } while (0)

// sum += the rows of `a` by the weights of `w`.
#define SMSR_ADD_PRODUCTS(Element, sum, a, w) \
  do {                                        \
    if constexpr (Element(-1) < 0)            \
      _tile_dpbssd(sum, a, w);                \
    else if constexpr (sizeof(Element) == 1)  \
      _tile_dpbusd(sum, a, w);                \
    else                                      \
      _tile_dpbf16ps(sum, a, w);              \
  } while (0)

// Two matrix tiles of rows are multiplied with one or two panels of weights.
constexpr int kMatrixRows = 2 * kRun;

// Their sums: tiles 0 and 1 those of the first rows, 2 and 3 of the others.
template <int Panels>
struct MatrixSums {
  SMSR_INLINE void zero() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }

  // Rows of floats `n` apart.
  SMSR_INLINE void load(const float* at, int64_t n) {
    const int64_t stride = n * int64_t(sizeof(float));
    tiles_see_memory();
    SMSR_LOAD_TILE(0, at, stride);
    SMSR_LOAD_TILE(2, at + kRun * n, stride);
    if constexpr (Panels == 2) {
      SMSR_LOAD_TILE(1, at + kLine, stride);
      SMSR_LOAD_TILE(3, at + kRun * n + kLine, stride);
    }
  }

  SMSR_INLINE void store(float* at, int64_t n) {
    const int64_t stride = n * int64_t(sizeof(float));
    SMSR_STORE_TILE(0, at, stride);
    SMSR_STORE_TILE(2, at + kRun * n, stride);
    if constexpr (Panels == 2) {
      SMSR_STORE_TILE(1, at + kLine, stride);
      SMSR_STORE_TILE(3, at + kRun * n + kLine, stride);
    }
    tiles_see_memory();
  }

  // Adds the products of a line of each row, the first of which lie at `a` and `b`, `stride` elements
  // apart, with the weights of that line, `panel` elements from one panel to the next.
  template <class Element>
  SMSR_INLINE void add(const Element* a, const Element* b, int64_t stride, const Element* w,
                       int64_t panel) {
    const int64_t bytes = stride * int64_t(sizeof(Element));
    SMSR_LOAD_TILE(6, w, kLineBytes);
    SMSR_LOAD_TILE(4, a, bytes);
    SMSR_ADD_PRODUCTS(Element, 0, 4, 6);
    SMSR_LOAD_TILE(5, b, bytes);
    SMSR_ADD_PRODUCTS(Element, 2, 5, 6);
    if constexpr (Panels == 2) {
      SMSR_LOAD_TILE(7, w + panel, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 1, 4, 7);
      SMSR_ADD_PRODUCTS(Element, 3, 5, 7);
    }
  }
};

// Whether the pixels of 16 rows follow one another.
template <class Index>
SMSR_INLINE bool are_one_run(const Index* pixel) {
  bool run = true;
  for (int r = 1; r < kRun; ++r) run &= pixel[r] == pixel[0] + r;
  return run;
}

// Tiles that are multiplied together: their rows of pixels are rows of a matrix tile.
constexpr int kTileGroup = kRun / kTile;

// The products of a tile among them, rows of outputs `stride` floats apart; for `store_tile`.
template <class Sums>
struct TileRows {
  struct Channels {
    const float* first;
    int64_t stride;
    Vec unit;
  };

  SMSR_INLINE void read(const Store& s, int c, const float* m, int64_t stride, Channels& rows) {
    rows = {m, stride, Sums::unit(s, c)};
  }

  SMSR_INLINE void column(const Channels& rows, int x, Vec (&y)[kTile]) {
#pragma GCC unroll 4
    for (int i = 0; i < kTile; ++i)
      y[i] = Sums::read(rows.first + (i * kRun + x) * rows.stride, rows.unit);
  }
};

// The pixels that a group of tiles sees: matrix tiles whose rows are pixels of one row of the patches, for
// each row and each shift to the right. Where they lie in elements.
template <class Element>
struct Patches {
  const Element* first;
  int64_t shift, row, line;
};

// As copied from anywhere; and pixels of a row that neighbours see.
template <class Element>
constexpr int64_t kCopiedShift = int64_t(kPatch) * kTileOf<Element>;
template <class Element>
constexpr int64_t kCopiedLine = 3 * kCopiedShift<Element>;
constexpr int64_t kStrip = kRun + 2;

// The first pixel of a tile's patch.
SMSR_INLINE int64_t corner_of(const Tiles& p, int tile) {
  const Geometry& g = p.geometry;
  return g.index(tile / g.tile_cols() * kTile - 1, tile % g.tile_cols() * kTile - 1);
}

// Whether the tiles from `i` on lie side by side.
SMSR_INLINE bool are_neighbours(const Tiles& p, int i) {
  const int columns = p.geometry.tile_cols();
  if (p.count - i < kTileGroup || p.tiles[i] % columns + kTileGroup > columns) return false;
  bool neighbours = true;  // a list need not be in order
  for (int t = 1; t < kTileGroup; ++t) neighbours &= p.tiles[i + t] == p.tiles[i] + t;
  return neighbours;
}

// Whether each pixel that they see is there.
SMSR_INLINE bool all_there(const Tiles& p, int64_t corner) {
  if (!p.activity_in || p.k_dense >= p.k) return true;
  bool there[kFrequencies];
  for (int t = 0; t < kTileGroup; ++t)
    if (!whole_patch(p.activity_in + corner + t * kTile, p.geometry.stride(), there)) return false;
  return true;
}

// Copies the pixels that neighbours see, with the rest where they are skipped.
template <class Element>
SMSR_INLINE void copy_strip(const Tiles& p, int64_t corner, Element* copies) {
  const int64_t row = p.geometry.stride();
  const auto* const rests = static_cast<const Element*>(p.rest);
  for (int c = 0; c < p.k; c += kLineOf<Element>) {
    const Element* const line = static_cast<const Element*>(p.in) + channel_at<Element>(c, p.in_line);
    const Element* const rest = rests ? rests + c : line;  // pixel 0 lies in the border of zeros
    const bool masked = c >= p.k_dense;
    for (int y = 0; y < kPatch; ++y)
      for (int64_t pixel = corner + y * row; pixel < corner + y * row + kStrip; ++pixel) {
        const bool there = !masked || p.activity_in[pixel] != kInactive;
        _mm512_store_si512(copies, load_line(there ? line + pixel * kLineOf<Element> : rest));
        copies += kLineOf<Element>;
      }
  }
}

// Copies the patch of a tile, the t-th of its group.
template <class Element>
SMSR_INLINE void copy_patch(const Tiles& p, int64_t corner, int t, Element* copies) {
  const int64_t row = p.geometry.stride();
  bool there[kFrequencies];
  const bool every = !p.activity_in || whole_patch(p.activity_in + corner, row, there);
  const auto* const rests = static_cast<const Element*>(p.rest);
  copies += t * kTile * kLineOf<Element>;
  for (int c = 0; c < p.k; c += kLineOf<Element>, copies += kCopiedLine<Element>) {
    const Element* const line = static_cast<const Element*>(p.in) + channel_at<Element>(c, p.in_line);
    const Element* const patch = line + corner * kLineOf<Element>;
    const Element* const rest = rests ? rests + c : line;  // pixel 0 lies in the border of zeros
    const bool masked = !every && c >= p.k_dense;
    for (int y = 0; y < kPatch; ++y)
#pragma GCC unroll 6
      for (int x = 0; x < kPatch; ++x) {
        const Element* const pixel = patch + (y * row + x) * kLineOf<Element>;
        const __m512i v = load_line(!masked || there[y * kPatch + x] ? pixel : rest);
#pragma GCC unroll 3
        for (int dx = 0; dx < 3; ++dx)
          if (dx <= x && x - dx < kTile)
            _mm512_store_si512(copies + dx * kCopiedShift<Element> + y * kTileOf<Element> +
                                   (x - dx) * kLineOf<Element>,
                               v);
      }
  }
}

// What the tiles from `i` on see: where it lies, if it can be multiplied there, or copied.
template <class Element>
SMSR_INLINE Patches<Element> patches_of(const Tiles& p, int i, int tiles, Element* copies) {
  const int64_t corner = corner_of(p, p.tiles[i]);
  if (are_neighbours(p, i)) {
    if (all_there(p, corner))
      return {static_cast<const Element*>(p.in) + corner * kLineOf<Element>, kLineOf<Element>,
              p.geometry.stride() * kLineOf<Element>, p.in_line};
    copy_strip(p, corner, copies);
    return {copies, kLineOf<Element>, kStrip * kLineOf<Element>, kPatch * kStrip * kLineOf<Element>};
  }
  for (int t = 0; t < tiles; ++t) copy_patch(p, corner_of(p, p.tiles[i + t]), t, copies);
  return {copies, kCopiedShift<Element>, kTileOf<Element>, kCopiedLine<Element>};
}

// The products of the patches with a panel of weights: rows of 16 outputs, `n` floats apart. Matrix tiles
// 0 to 3 are the sums of four rows of pixels, 7 the weights of a tap, and of the six rows of the patches
// three at a time are in 4 to 6.
template <class Element>
SMSR_INLINE void multiply_patches(const Patches<Element>& a, int lines, const Element* w, float* sums,
                                  int64_t n) {
  const int64_t below = int64_t(3) * lines * kTileOf<Element>;
  tiles_see_memory();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int dx = 0; dx < 3; ++dx)
    for (int line = 0; line < lines; ++line, w += kTileOf<Element>) {
      const Element* const at = a.first + dx * a.shift + line * a.line;
      SMSR_LOAD_TILE(7, w, kLineBytes);
      SMSR_LOAD_TILE(4, at, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 0, 4, 7);
      SMSR_LOAD_TILE(5, at + a.row, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 1, 5, 7);
      SMSR_LOAD_TILE(6, at + 2 * a.row, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 2, 6, 7);
      SMSR_LOAD_TILE(4, at + 3 * a.row, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 3, 4, 7);
      SMSR_LOAD_TILE(7, w + below, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 0, 5, 7);
      SMSR_ADD_PRODUCTS(Element, 1, 6, 7);
      SMSR_ADD_PRODUCTS(Element, 2, 4, 7);
      SMSR_LOAD_TILE(5, at + 4 * a.row, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 3, 5, 7);
      SMSR_LOAD_TILE(7, w + 2 * below, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 0, 6, 7);
      SMSR_ADD_PRODUCTS(Element, 1, 4, 7);
      SMSR_ADD_PRODUCTS(Element, 2, 5, 7);
      SMSR_LOAD_TILE(6, at + 5 * a.row, kLineBytes);
      SMSR_ADD_PRODUCTS(Element, 3, 6, 7);
    }
  const int64_t stride = n * int64_t(sizeof(float));
  SMSR_STORE_TILE(0, sums, stride);
  SMSR_STORE_TILE(1, sums + kRun * n, stride);
  SMSR_STORE_TILE(2, sums + 2 * kRun * n, stride);
  SMSR_STORE_TILE(3, sums + 3 * kRun * n, stride);
  tiles_see_memory();
}

// A 3x3 convolution at tiles as what it is: products so fast leave Winograd's transforms nothing to save.
template <class Element, class Out>
void direct(const Tiles& p, int first, int last, float* scratch) {
  static_assert(kTile == 4 && kTileBlock % kTileGroup == 0);
  using Sums = typename SumsOf<Element>::Type;
  const TileRegisters registers;
  auto* const copies = reinterpret_cast<Element*>(scratch);
  const int lines = p.k / kLineOf<Element>;
  const int64_t panel = int64_t(9) * lines * kTileOf<Element>;
  float* const value = reinterpret_cast<float*>(copies + lines * kCopiedLine<Element>);
  float* const sums = value + kTile * kRun * int64_t(p.n);
  for (int item = first; item < last; ++item) {
    const int begin = item * kTileBlock;
    const int end = p.count - begin < kTileBlock ? p.count : begin + kTileBlock;
    for (int c = 0; c < p.n; ++c) sums[c] = 0;
    for (int i = begin; i < end; i += kTileGroup) {  // what no tile of the list copied is not stored
      const int tiles = end - i < kTileGroup ? end - i : kTileGroup;
      const Patches<Element> patches = patches_of(p, i, tiles, copies);
      const auto* w = static_cast<const Element*>(p.weights);
      for (int c = 0; c < p.n; c += kLine, w += panel)
        multiply_patches(patches, lines, w, value + c, p.n);
      for (int t = 0; t < tiles; ++t)
        store_tile<TileRows<Sums>, Out>(p, p.tiles[i + t], value + t * kTile * int64_t(p.n), p.n,
                                  p.store.sums ? sums : nullptr);
    }
    if (p.store.sums) {
      const int stored = p.n - p.n_pooled;
      for (int c = 0; c < stored; ++c)
        p.store.sums[int64_t(item) * stored + c] = sums[p.n_pooled + c];
    }
  }
  if (p.store.streams) streamed();
}
